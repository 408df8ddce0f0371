"""The ceiling: passes bytes on without looking at them, so that nothing that looks at them can be faster.

    python -m tests.bench.forwarder PORT

The handshakes are answered from the client identifiers the load generator uses ("pub3", "sub3"); from then on what
publisher 3 sends goes to subscriber 3 (to all of them where there is one publisher; from all of them where there is one
subscriber), and what a subscriber answers goes back to its publisher.
"""

from __future__ import annotations

import asyncio
import re
import sys
from typing import ClassVar

BUFFER_BYTES = 256 * 1024


class Relay(asyncio.BufferedProtocol):
    """One connection; partners are where its bytes go."""

    buffer = memoryview(bytearray(BUFFER_BYTES))
    all: ClassVar[dict[str, Relay]] = {}

    def __init__(self):
        self.partners = []
        self.name = ""
        self.ready = False

    def connection_made(self, transport):
        self.transport = transport
        transport.set_write_buffer_limits(high=64 * 1024 * 1024)

    def get_buffer(self, sizehint):
        return self.buffer

    def buffer_updated(self, nbytes):
        if self.ready:
            data = bytes(self.buffer[:nbytes])
            for partner in self.partners:
                partner.write(data)
            return
        self.handshake(bytes(self.buffer[:nbytes]))

    def handshake(self, data):
        if data[0] == 0x10:
            self.name = re.search(rb"(pub|sub)\d+$", data)[0].decode()
            self.all[self.name] = self
            self.transport.write(b"\x20\x02\x00\x00")
            if self.name.startswith("pub"):
                self.ready = True
        else:
            self.transport.write(bytes([0x90, 3, data[2], data[3], data[-1]]))
            self.ready = True
        self.join()

    def join(self):
        publishers = [relay for name, relay in self.all.items() if name.startswith("pub")]
        subscribers = [relay for name, relay in self.all.items() if name.startswith("sub")]
        alone = 1 in (len(publishers), len(subscribers))
        for relay in publishers:
            twin = self.all.get("sub" + relay.name[3:])
            relay.partners = [s.transport for s in (subscribers if alone else [twin] if twin else [])]
        for relay in subscribers:
            twin = publishers[0] if len(publishers) == 1 else self.all.get("pub" + relay.name[3:])
            first = len(publishers) > 1 or relay is subscribers[0]
            relay.partners = [twin.transport] if twin and first else []

    def connection_lost(self, exc):
        if self.all.get(self.name) is self:
            del self.all[self.name]


async def main():
    server = await asyncio.get_running_loop().create_server(Relay, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
