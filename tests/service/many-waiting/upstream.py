"""A slow fake of SHOUTCLOUD. `upstream.py DELAY CALLS` prints its port.

It responds DELAY seconds after CALLS calls and a line on stdin have arrived, so that all calls wait at the same time. It exits at the
end of stdin.
"""

import asyncio
import json
import sys

DELAY, CALLS = float(sys.argv[1]), int(sys.argv[2])


class Connection(asyncio.Protocol):
    calls = 0
    all_arrived = asyncio.Event()
    released = asyncio.Event()

    def connection_made(self, transport):
        self.transport, self.received = transport, b""

    def data_received(self, data):
        self.received += data
        head, separator, body = self.received.partition(b"\r\n\r\n")
        if not separator:
            return
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        if len(body) < int(fields[b"content-length"]):
            return
        self.received = b""
        self.task = asyncio.create_task(self.respond(json.loads(body)["INPUT"]))
        Connection.calls += 1
        if Connection.calls == CALLS:
            self.all_arrived.set()

    async def respond(self, text):
        await self.all_arrived.wait()
        await self.released.wait()
        await asyncio.sleep(DELAY)
        response = json.dumps({"INPUT": text, "OUTPUT": text.upper()}).encode()
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(response)}\r\n\r\n"
        self.transport.write(head.encode() + response)


async def main():
    # SYNs beyond the backlog are retransmitted only after a second.
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0, backlog=4096)
    print(json.dumps(server.sockets[0].getsockname()[1]), flush=True)
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, sys.stdin.readline)
    Connection.released.set()
    await loop.run_in_executor(None, sys.stdin.read)


asyncio.run(main())
