"""A relay of TCP connections, for peers whose place changes and tests that listen in."""

import asyncio
import contextlib
import threading


class Relay:
    """Passes bytes between whoever connects and `target()`, a port, from a thread of its own."""

    def __init__(self, target):
        self.target = target
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        server = asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1024)
        self.server = asyncio.run_coroutine_threadsafe(server, self.loop).result(10)
        self.port = self.server.sockets[0].getsockname()[1]

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        asyncio.run_coroutine_threadsafe(self._end(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    async def _end(self):
        self.server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader, writer):
        with contextlib.suppress(ConnectionError):
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self.target())
            there_writer.write(self.preface())
            await asyncio.gather(
                self._pass(reader, there_writer, "client"),
                self._pass(there_reader, writer, "server"),
            )
            there_writer.close()
        writer.close()

    async def _pass(self, reader, writer, side):
        """Ends one direction only: what is on its way in the other may still be read, as without a relay."""
        try:
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
            self.ended(side)
            writer.write_eof()
        except ConnectionError:
            self.ended(side)
            writer.transport.abort()

    def preface(self):
        return b""

    def ended(self, side):
        pass
