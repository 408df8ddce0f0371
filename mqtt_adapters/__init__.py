"""What drives `mqtt_core`: event loops, blocking sockets, TLS, WebSocket, SQLite and the command-line programs.

The law of this package: an adapter is a loop around the core's four pulls (bytes, events, writes, time) and knows
nothing about packets. Each adapter is imported by itself: ``import mqtt_adapters`` imports no event loop.

`asyncio`, `anyio` and `blocking` are the three ways of doing I/O. What they share is in `client` and `server`, what a
broker is told in `config`, what is kept in `storage`, brokers to test against in `testing`, the programs in `bin`.
"""

from __future__ import annotations
