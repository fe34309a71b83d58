"""A SHOUTCLOUD that takes its time: `upstream.py DELAY CALLS` prints its address, then answers on connections of any number.

DELAY seconds after CALLS of them have come and a line on its input, so that all of them wait at once however slowly they
come. It ends when its input does.
"""

import asyncio
import json
import sys

DELAY, CALLS = float(sys.argv[1]), int(sys.argv[2])


class Connection(asyncio.Protocol):
    calls = 0
    all_came = asyncio.Event()
    told = asyncio.Event()

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
        self.answering = asyncio.create_task(self.answer(json.loads(body)["INPUT"]))
        Connection.calls += 1
        if Connection.calls == CALLS:
            self.all_came.set()

    async def answer(self, text):
        await self.all_came.wait()
        await self.told.wait()
        await asyncio.sleep(DELAY)
        answer = json.dumps({"INPUT": text, "OUTPUT": text.upper()}).encode()
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(answer)}\r\n\r\n"
        self.transport.write(head.encode() + answer)


async def main():
    # A connection that does not fit into the backlog is tried again only after a second.
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0, backlog=4096)
    print(json.dumps(server.sockets[0].getsockname()[1]), flush=True)
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, sys.stdin.readline)
    Connection.told.set()
    await loop.run_in_executor(None, sys.stdin.read)


asyncio.run(main())
