"""The settings of a broker with sockets, and their three notations.

``max_packet_size`` is an argument in Python and a key in TOML, ``--max-packet-size`` a flag. What a user got wrong is a
`ConfigError` with one line of text: the file and line, the setting, what was expected, and the nearest name when a name
is unknown.
"""

from mqtt_adapters.config.flags import add_flags, given_flags
from mqtt_adapters.config.mistakes import ConfigError, nearest, no_password, why_unusable
from mqtt_adapters.config.server import Endpoint, ListenerConfig, ServerConfig, parse_bind_addr
from mqtt_adapters.config.table import Setting, setting, settings
from mqtt_adapters.config.toml_file import load_toml

__all__ = [
    "ConfigError",
    "Endpoint",
    "ListenerConfig",
    "ServerConfig",
    "Setting",
    "add_flags",
    "given_flags",
    "load_toml",
    "nearest",
    "no_password",
    "parse_bind_addr",
    "setting",
    "settings",
    "why_unusable",
]
