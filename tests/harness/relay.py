"""A TCP relay, for peers whose port changes and for tests that observe connections."""

import asyncio
import contextlib
import threading


class Relay:
    """Relays bytes between its clients and the port `target()`, in its own thread."""

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
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self.target())
            server_writer.write(self.preface())
            await asyncio.gather(
                self._copy(reader, server_writer, "client"),
                self._copy(server_reader, writer, "server"),
            )
            server_writer.close()
        writer.close()

    async def _copy(self, reader, writer, side):
        """Copies one direction. At its end the other direction stays open, as without a relay."""
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
