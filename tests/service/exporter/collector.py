"""A fake OTLP collector. `collector.py good|silent` prints its port; `good` responds to every batch, `silent` never responds.

At the end of its input it prints the number of batches and exits.
"""

import asyncio
import json
import sys

IS_GOOD = sys.argv[1] == "good"
RESPONSE = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n"
batches = 0


async def serve(reader, writer):
    global batches
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
            await reader.readexactly(int(fields[b"content-length"]))
            batches += 1
            if IS_GOOD:
                writer.write(RESPONSE)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(json.dumps(server.sockets[0].getsockname()[1]), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    print(json.dumps(batches), flush=True)


asyncio.run(main())
