"""Docstrings of the public API say what a user has to know; and the check that says so can fail."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from tests.docs.docstrings import Source, check, check_node, check_settings, exported, known


def test_docstrings_say_what_is_raised_what_arguments_mean_and_which_section_it_is():
    """`python -m tests.docs.docstrings` lists the faults; the module says what the rules are."""
    faults = check()
    assert not faults, "\n".join(map(str, faults))


def test_most_of_the_api_is_looked_at():
    names = {found.__qualname__ for _, found in exported()}
    assert {"Broker", "MqttClient", "TopicTrie", "Session", "Journal", "FrameReader", "Router", "decode"} <= names
    assert {"MqttServer", "Client", "SqliteStore", "ServerConfig", "MqttTestBroker", "ConnectRefused"} <= names
    assert len(names) > 150


def rules(text: str, name: str) -> list[tuple[str, str]]:
    module = Source("m", text)
    return [(fault.rule, fault.text) for fault in check_node(module, module.find(name))]


@pytest.mark.parametrize(
    "text, faults",
    [
        ('def f(x):\n    """Do it."""\n    raise MalformedPacket("no")', [("raises", "MalformedPacket")]),
        ('def f(x):\n    """Do it. Raises MalformedPacket."""\n    raise MalformedPacket("no")', []),
        ('def f(x):\n    """Do it. Raises MqttError, always."""\n    raise MalformedPacket("no")', []),
        ('def f(x):\n    """Do it."""\n    raise _Private("no")', []),
        ('def f(x):\n    """Do it."""\n    def g():\n        raise ValueError("no")', []),
        ('def f(x):\n    """Do it."""\n    try:\n        pass\n    except ValueError:\n        raise', []),
        ('def f(size: int):\n    """Do it."""', [("parameters", "size")]),
        ('def f(size: int | None):\n    """Do it. size: 1 to 9 bytes."""', []),
        ('def f(thing: str):\n    """Do it to the one thing there is."""', []),
        ('def f(this: str, that: str):\n    """Do this."""', [("parameters", "that")]),
        ('def f(now: float, qos: int):\n    """Do it."""', []),
        ('def f(journal: Journal, packet: Packet):\n    """Do it."""', []),
        ('def f(this: int, that: int):\n    """As `Broker.publish`."""', []),
        ('def f(this: int, that: int):\n    """As `Broker.fly`."""', [("reference", "there is no Broker.fly")]),
        (
            'def f():\n    """Do it."""\n    return 1  # [MQTT-1.2.3-4]',
            [("section", "implements a statement, names none")],
        ),
        ('def f():\n    """Do it (section 1.2)."""\n    return 1  # [MQTT-1.2.3-4]', []),
        ('"""All of section 1."""\ndef f():\n    """Do it."""\n    return 1  # [MQTT-1.2.3-4]', []),
    ],
)
def test_what_a_function_has_to_say(text, faults):
    assert rules(text, "f") == faults


CLASS = '''
class C:
    """{about}"""

    def __init__(self, size: int) -> None:
        if size < 0:
            raise ValueError("no")

    def grow(self, by: int) -> None:
        """{grow}"""
        self.size = 0  # [MQTT-1.2.3-4]

    def _hidden(self, x: int) -> None:
        raise TypeError("no")
'''


@pytest.mark.parametrize(
    "about, grow, faults",
    [
        ("A thing.", "More.", ["raises ValueError", "parameters size", "parameters by", "section"]),
        ("A thing (section 2). size: above 0; ValueError if not.", "By so many.", []),
        ("A thing of a size. Raises ValueError.", "by: 0 to 7 (section 2).", []),
        ("A thing. Made by `Broker`. Raises ValueError.", "by: 0 to 7 (section 2).", []),
    ],
)
def test_what_a_class_has_to_say(about, grow, faults):
    found = rules(CLASS.format(about=about, grow=grow.replace("By", "by")), "C")
    assert [f"{rule} {text}" if rule != "section" else rule for rule, text in found] == faults


@dataclass
class ThingConfig:
    """A thing. size: 1 to 7. weight: as it comes."""

    size: int = 1
    weight: float = 2.0
    name: str = ""
    height: int = field(default=1, metadata={"unit": "m"})
    depth: int = field(default=1, metadata={"unit": ""})


def test_what_a_configuration_has_to_say():
    faults = [str(fault) for fault in check_settings("m", ThingConfig, ThingConfig.__doc__)]
    assert faults == ["m ThingConfig.weight: settings: no range", "m ThingConfig.depth: settings: no unit"]


def test_words_of_the_glossary():
    assert known("now")
    assert known("connect_timeout_s")
    assert not known("size")
    assert not known("s")
