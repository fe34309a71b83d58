"""A minimal HTTP/2 client (RFC 9113), with prior knowledge or over TLS, for bodies of a few KiB.

Unlike common libraries, it completes requests in flight after a GOAWAY, as the RFC requires.
"""

import asyncio
import struct

import hpack

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM = ACK = 1
END_HEADERS = 4


class NotProcessed(ConnectionError):
    """The server did not process this request, so it may be sent again elsewhere."""


class Http2:
    """A connection. `closing` is set once the server accepts no more requests on it."""

    @classmethod
    async def connect(cls, host, port, tls=None, name=None):
        """Connects. `tls` is an `ssl` context that offers h2; `name` is the server name, by default its address."""
        self = cls()
        self.reader, self.writer = await asyncio.open_connection(host, port, ssl=tls, server_hostname=tls and name)
        self.scheme, self.authority = "https" if tls else "http", name or f"{host}:{port}"
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder()
        self.responses, self.next_stream, self.closing = {}, 1, False
        self.window, self.window_grew = 65535, asyncio.Event()
        self.writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0))
        self.reading = asyncio.create_task(self._read())
        return self

    async def post(self, path, headers, body):
        """Sends a request. Returns status, headers and body of the response."""
        while self.window < len(body):
            self.window_grew.clear()
            await self.window_grew.wait()
        if self.closing:
            raise NotProcessed("the connection accepts no more requests")
        self.window -= len(body)
        stream, self.next_stream = self.next_stream, self.next_stream + 2
        pseudo = [(":method", "POST"), (":scheme", self.scheme), (":authority", self.authority), (":path", path)]
        block = self.encoder.encode([*pseudo, *headers.items()])
        response = self.responses[stream] = Response()
        self.writer.write(frame(HEADERS, END_HEADERS, stream, block) + frame(DATA, END_STREAM, stream, body))
        try:
            await response.done
        finally:
            del self.responses[stream]
        return response.status, response.headers, bytes(response.body)

    def close(self):
        self.reading.cancel()
        self.writer.close()

    async def _read(self):
        try:
            while True:
                head = await self.reader.readexactly(9)
                payload = await self.reader.readexactly(int.from_bytes(head[:3], "big"))
                self._received(head[3], head[4], int.from_bytes(head[5:], "big"), payload)
        except (ConnectionError, asyncio.IncompleteReadError):
            self._end(0, ConnectionError("the connection was closed"))

    def _received(self, kind, flags, stream, payload):
        response = self.responses.get(stream)
        if kind == SETTINGS and not flags & ACK:
            self.writer.write(frame(SETTINGS, ACK, 0))
        elif kind == PING and not flags & ACK:
            self.writer.write(frame(PING, ACK, 0, payload))
        elif kind == WINDOW_UPDATE and stream == 0:
            self.window += int.from_bytes(payload, "big")
            self.window_grew.set()
        elif kind == GOAWAY:
            self.closing = True
            self._end(int.from_bytes(payload[:4], "big"), NotProcessed("the server accepts no more requests"))
        elif kind in (HEADERS, CONTINUATION):
            # Every block is decoded, even of unknown streams: the decoder's state depends on it. All fit into one frame.
            assert flags & END_HEADERS
            headers = dict(self.decoder.decode(payload))
            if response:
                response.status, response.headers = int(headers.pop(":status")), headers
        elif kind == RST_STREAM and response and not response.done.done():
            response.done.set_exception(ConnectionError(f"reset with {int.from_bytes(payload, 'big')}"))
        elif kind == DATA and payload:
            grow = struct.pack(">I", len(payload))
            self.writer.write(frame(WINDOW_UPDATE, 0, 0, grow))
            if response:
                response.body += payload
                if not flags & END_STREAM:
                    self.writer.write(frame(WINDOW_UPDATE, 0, stream, grow))
        if kind in (HEADERS, DATA) and flags & END_STREAM and response and not response.done.done():
            response.done.set_result(None)

    def _end(self, last, error):
        """Fails the streams after `last`."""
        self.closing = True
        # Wakes callers that wait for window to send.
        self.window = max(self.window, 1 << 31)
        self.window_grew.set()
        for stream, response in self.responses.items():
            if stream > last and not response.done.done():
                response.done.set_exception(error)


class Response:
    def __init__(self):
        self.status, self.headers, self.body = None, None, bytearray()
        self.done = asyncio.get_running_loop().create_future()


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload
