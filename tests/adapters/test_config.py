"""One table of settings in three notations: Python, TOML and flags; and what is said when one of them is wrong."""

from __future__ import annotations

import argparse
import dataclasses
import ssl

import pytest

from mqtt_adapters.config import (
    ConfigError,
    Endpoint,
    ListenerConfig,
    ServerConfig,
    add_flags,
    given_flags,
    load_toml,
    parse_bind_addr,
    settings,
)
from mqtt_core.broker.config import BrokerConfig


@pytest.fixture
def toml(tmp_path):
    path = tmp_path / "broker.toml"

    def load(text, **overrides):
        path.write_text(text)
        return load_toml(path, ServerConfig, overrides)

    load.path = path
    return load


def parser():
    made = argparse.ArgumentParser(allow_abbrev=False)
    add_flags(made, ServerConfig, "settings")
    return made


# ------------------------------------------------------------------------------------------------------ the table


def test_server_config_has_every_setting_of_the_broker_under_the_same_name_and_default():
    for field in dataclasses.fields(BrokerConfig):
        assert getattr(ServerConfig(), field.name) == field.default
    assert ServerConfig(max_packet_size=4096).broker_config() == BrokerConfig(max_packet_size=4096)


def test_every_setting_has_a_help_text_and_exists_once():
    rows = settings(ServerConfig)
    assert all(row.help for row in rows)
    assert len({row.name for row in rows}) == len(rows)


def test_every_plain_setting_is_a_flag_and_a_toml_key_of_the_same_name(toml):
    for row in settings(ServerConfig):
        if row.flag is None:
            continue
        assert row.flag == "--" + row.name.replace("_", "-")
        assert given_flags(ServerConfig, parser().parse_args([])) == {}
        if row.kind is bool:
            given = given_flags(ServerConfig, parser().parse_args(["--no-" + row.flag[2:]]))
            assert given == {row.name: False}
            assert getattr(toml(f"{row.name} = false"), row.name) is False
        elif row.kind is int:
            value = row.default - 1 if row.default else 1
            assert given_flags(ServerConfig, parser().parse_args([row.flag, str(value)])) == {row.name: value}
            assert getattr(toml(f"{row.name} = {value}"), row.name) == value


@pytest.mark.parametrize(
    "text,endpoint",
    [
        ("127.0.0.1:1883", Endpoint("127.0.0.1", 1883)),
        ("localhost", Endpoint("localhost", 1883)),
        ("[::1]:1884", Endpoint("::1", 1884)),
        ("[::1]", Endpoint("::1", 1883)),
        (":1885", Endpoint(None, 1885)),
        ("*:0", Endpoint(None, 0)),
        ("unix:/run/mqtt.sock", Endpoint(path="/run/mqtt.sock")),
    ],
)
def test_bind_addr_is_read_as_people_write_it(text, endpoint):
    assert parse_bind_addr(text) == endpoint


@pytest.mark.parametrize("text", ["", "host:port", "1.2.3.4:70000", "::1:1883", "[::1", "a b:1", "unix:", "h:1:2"])
def test_a_bind_addr_that_means_nothing_is_refused(text):
    with pytest.raises(ConfigError, match="bind_addr"):
        ServerConfig(bind_addr=text)


def test_tls_moves_the_default_port():
    assert ListenerConfig(bind_addr="localhost").endpoint.port == 1883
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    assert ListenerConfig(bind_addr="localhost", tls_context=context).endpoint.port == 8883


def test_the_default_is_one_listener_on_loopback():
    (listener,) = ServerConfig().all_listeners()
    assert listener.endpoint == Endpoint("127.0.0.1", 1883)


def test_listeners_replace_the_default_one_and_add_to_a_named_one():
    extra = ListenerConfig(bind_addr="127.0.0.1:1900")
    assert ServerConfig(listeners=(extra,)).all_listeners() == (extra,)
    both = ServerConfig(bind_addr="127.0.0.1:1901", listeners=(extra,))
    assert both.all_listeners() == (both, extra)


@pytest.mark.parametrize(
    "values,name",
    [
        ({"max_packet_size": 1}, "max_packet_size"),
        ({"receive_maximum": 65_536}, "receive_maximum"),
        ({"backlog": 0}, "backlog"),
        ({"write_buffer_bytes": 0}, "write_buffer_bytes"),
        ({"write_buffer_bytes": 2**31}, "write_buffer_bytes: expected at most"),
        ({"tls_key_file": "key.pem"}, "tls_key_file"),
        ({"tls_ca_file": "ca.pem"}, "tls_ca_file"),
        ({"tls_ca_file": ""}, "tls_ca_file"),
        ({"tls_key_file": ""}, "tls_key_file"),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(values, name):
    with pytest.raises(ConfigError, match=f"^{name}"):
        ServerConfig(**values)


def test_a_missing_certificate_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"tls_cert_file: cannot use .*none.pem: No such file"):
        ListenerConfig(tls_cert_file=str(tmp_path / "none.pem")).ssl_context()


# ------------------------------------------------------------------------------------------------------------ TOML


def test_a_file_gives_every_kind_of_setting(toml):
    config = toml("""
        bind_addr = "0.0.0.0:1884"
        max_connections = 12        # an integer
        connect_timeout_s = 3       # a number, and 3.0 is meant
        retain_available = false
        response_information = "r/"

        [[listeners]]
        bind_addr = "unix:/tmp/x"

        [[listeners]]
        bind_addr = "[::1]:1885"
        backlog = 5
        """)
    assert config == ServerConfig(
        bind_addr="0.0.0.0:1884",
        max_connections=12,
        connect_timeout_s=3.0,
        retain_available=False,
        response_information="r/",
        listeners=(ListenerConfig(bind_addr="unix:/tmp/x"), ListenerConfig(bind_addr="[::1]:1885", backlog=5)),
    )
    assert isinstance(config.connect_timeout_s, float)


def test_overrides_win_over_the_file(toml):
    config = toml("max_connections = 12\nmax_packet_size = 64", max_connections=13)
    assert (config.max_connections, config.max_packet_size) == (13, 64)


@pytest.mark.parametrize(
    "text,line,message",
    [
        ("\n# a comment\nmax_paket_size = 5\n", 3, "unknown setting 'max_paket_size'; did you mean 'max_packet_size'?"),
        ("zzz = 1", 1, "unknown setting 'zzz'"),
        ("max_connections = 1\nmax_packet_size = '5'", 2, "max_packet_size: expected an integer (bytes), got '5'"),
        ("max_packet_size = true", 1, "max_packet_size: expected an integer (bytes), got True"),
        ("retain_available = 1", 1, "retain_available: expected true or false, got 1"),
        ("\nconnect_timeout_s = 'x'", 2, "connect_timeout_s: expected a number (s), got 'x'"),
        ("\nmax_packet_size = 1", 2, "max_packet_size is 1; it has to be from 32 to 268435460"),
        ("tls_context = 1", 1, "unknown setting 'tls_context'"),
        ("bind_addr = 'a:b'", 1, "bind_addr: expected HOST:PORT, [IPV6]:PORT or unix:PATH, got 'a:b'"),
        ("listeners = 5", 1, "listeners: expected a list, each entry a table, got 5"),
        ("listeners = [\n  5,\n]", 1, "listeners: expected a list, each entry a table, got 5"),
        (
            "[[listeners]]\nbind_addr = 'localhost'\n[[listeners]]\n\nbacklogg = 1\n",
            5,
            "unknown setting 'backlogg'; did you mean 'backlog'?",
        ),
        ("[[listeners]]\n[[listeners]]\nbacklog = 0\n", 3, "backlog: expected at least 1, got 0"),
    ],
)
def test_a_mistake_in_a_file_is_told_with_line_and_key(toml, text, line, message):
    with pytest.raises(ConfigError) as caught:
        toml(text)
    assert str(caught.value) == f"{toml.path}:{line}: {message}"


def test_a_mistake_in_a_flag_is_not_blamed_on_the_file(toml):
    with pytest.raises(ConfigError) as caught:
        toml("max_connections = 5", max_packet_size=1)
    assert str(caught.value) == "max_packet_size is 1; it has to be from 32 to 268435460"


def test_what_is_no_toml_is_told_with_its_line(toml):
    with pytest.raises(ConfigError, match=r"broker.toml: .*line 2"):
        toml("max_connections = 5\nmax_packet_size 6\n")


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"none.toml: No such file"):
        load_toml(tmp_path / "none.toml", ServerConfig)
    (tmp_path / "latin").write_bytes(b"# \xe4\n")
    with pytest.raises(ConfigError, match="latin: not UTF-8 at byte 2"):
        load_toml(tmp_path / "latin", ServerConfig)
