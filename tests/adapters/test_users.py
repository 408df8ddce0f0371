"""Users in a file: who may come in, and which topics each may use."""

from __future__ import annotations

import pytest

from mqtt_adapters.config import ConfigError
from mqtt_adapters.users import UsersPolicy, covers, hash_password
from mqtt_core.broker import Accept, Principal, Refuse
from mqtt_core.codec import ConnectPacket, Properties, ReasonCode
from mqtt_core.topic_matcher import matches
from tests.topic_matcher.table import TABLE

SECRET = hash_password(b"secret")
FILE = f"""
[users.ann]
password = "{SECRET}"
publish = ["user/%u/+", "house/#"]
subscribe = ["#"]

[users.bob]
password = "{SECRET}"
subscribe = ["house/+/temperature", "$SYS/#"]
"""


@pytest.fixture
def load(tmp_path):
    def load(text):
        path = tmp_path / "users.toml"
        path.write_text(text)
        return UsersPolicy.from_file(path)

    return load


def test_who_may_come_in(load):
    policy = load(FILE)

    def answer(username, password):
        decision = policy.authenticate(ConnectPacket("c", username=username, password=password), "")
        return decision.identity if isinstance(decision, Accept) else decision.reason_code

    assert answer("ann", b"secret") == "ann"
    assert answer("ann", b"secret") == "ann"  # remembered
    assert answer("ann", b"wrong") == ReasonCode.BAD_USER_NAME_OR_PASSWORD
    assert answer("ann", None) == ReasonCode.BAD_USER_NAME_OR_PASSWORD
    assert answer("eve", b"secret") == ReasonCode.BAD_USER_NAME_OR_PASSWORD
    assert answer(None, None) == ReasonCode.NOT_AUTHORIZED
    assert answer("", b"secret") == ReasonCode.NOT_AUTHORIZED


def test_anonymous_clients_where_the_file_says_so(load):
    policy = load(FILE + '[anonymous]\nsubscribe = ["public/#"]\n')
    decision = policy.authenticate(ConnectPacket("c"), "")
    assert isinstance(decision, Accept)
    nobody = Principal("c", decision.identity)
    assert policy.authorize_subscribe(nobody, "public/a", 1) == 1
    assert policy.authorize_subscribe(nobody, "house/a", 1) == ReasonCode.NOT_AUTHORIZED
    assert not policy.authorize_publish(nobody, "public/a", 0, False)


def test_no_methods_of_enhanced_authentication(load):
    connect = ConnectPacket("c", username="ann", password=b"secret", properties=Properties(authentication_method="x"))
    decision = load(FILE).authenticate(connect, "")
    assert isinstance(decision, Refuse)
    assert decision.reason_code == ReasonCode.BAD_AUTHENTICATION_METHOD


def test_which_topics_each_may_use(load):
    policy = load(FILE)
    ann, bob, gone = Principal("a", "ann"), Principal("b", "bob"), Principal("c", "carl")
    assert policy.authorize_publish(ann, "user/ann/mood", 1, False)
    assert policy.authorize_publish(ann, "house/hall/lamp", 1, True)
    assert not policy.authorize_publish(ann, "user/bob/mood", 1, False)
    assert not policy.authorize_publish(bob, "house/hall/lamp", 1, False)
    assert policy.authorize_subscribe(ann, "house/#", 2) == 2
    assert policy.authorize_subscribe(bob, "$share/g/house/hall/temperature", 2) == 2
    assert policy.authorize_subscribe(bob, "house/#", 2) == ReasonCode.NOT_AUTHORIZED
    assert policy.authorize_deliver(bob, "house/hall/temperature")
    assert not policy.authorize_deliver(bob, "house/hall/lamp")
    assert not policy.authorize_deliver(gone, "house/hall/temperature")  # a session of a user who has left the file


@pytest.mark.parametrize(
    "allowed, wanted, granted",
    [
        ("a/b", "a/b", True),
        ("a/+", "a/b", True),
        ("a/+", "a/+", True),
        ("a/b", "a/+", False),
        ("a/+", "a", False),
        ("a/+", "a/b/c", False),
        ("a/+", "a/#", False),
        ("a/#", "a", True),
        ("a/#", "a/#", True),
        ("a/#", "a/+/c", True),
        ("a/+/#", "a/#", False),
        ("#", "+/a", True),
        ("#", "$SYS/#", False),
        ("+/a", "$SYS/a", False),
        ("$SYS/#", "$SYS/broker/+", True),
    ],
)
def test_a_subscription_is_granted_when_all_of_it_is_allowed(allowed, wanted, granted):
    assert covers(allowed, wanted) is granted


def test_what_covers_a_filter_matches_all_that_it_matches():
    filters = sorted({row.filter for row in TABLE if row.filter and not row.filter.startswith("$share")})
    topics = sorted({row.topic for row in TABLE if row.topic})
    for allowed in filters:
        for wanted in filters:
            if covers(allowed, wanted):
                assert all(matches(allowed, topic) for topic in topics if matches(wanted, topic)), (allowed, wanted)


@pytest.mark.parametrize(
    "text, told",
    [
        ("[user.ann]", "unknown key 'user'; did you mean 'users'?"),
        ("users = 3", "users: expected a table, got 3"),
        ("[users]\nann = 3", "users.ann: expected a table, got 3"),
        ('[users.ann]\npasword = "x"', "users.ann: unknown key 'pasword'; did you mean 'password'?"),
        ('[users.ann]\npassword = "secret"', "users.ann: password: expected what `mqtt-broker password` prints"),
        ("[users.ann]\npassword = 3", "users.ann: password: expected what `mqtt-broker password` prints"),
        ('[users.ann]\npassword = "scrypt$AAAAAAAAAAAAAAAAAAAAAA==$AAAA"', "password: expected what `mqtt-broker"),
        ('[users.ann]\npassword = "scrypt$$"', "password: expected what `mqtt-broker password` prints"),
        ('[anonymous]\nsubscribe = ["$share/g/a"]', "anonymous: subscribe: $share/g/a: name the topics"),
        ("[users.ann]\n", "users.ann: password: expected what `mqtt-broker password` prints"),
        (f'[users.ann]\npassword = "{SECRET}"\npublish = "a"', "publish: expected a list of topic filters, got 'a'"),
        (f'[users.ann]\npassword = "{SECRET}"\npublish = ["a/#/b"]', "publish: a topic filter has its # alone"),
        (f'[users."a/b"]\npassword = "{SECRET}"\npublish = ["%u"]', "%u: a user name with +, # or / cannot be"),
        ('[anonymous]\npassword = "x"', "anonymous: unknown key 'password'"),
        ("[users", "Expected ']'"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line(load, text, told):
    with pytest.raises(ConfigError) as caught:
        load(text)
    assert told in str(caught.value)
    assert "users.toml: " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there():
    with pytest.raises(ConfigError, match="/none: No such file or directory"):
        UsersPolicy.from_file("/none")
