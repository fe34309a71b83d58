"""A small client of HTTP/2 (RFC 9113), with prior knowledge or over TLS, for bodies of a few KiB.

Libraries have a server's GOAWAY end the requests that are under way; here they go on, as the RFC means it.
"""

import asyncio
import struct

import hpack

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM = ACK = 1
END_HEADERS = 4


class NotProcessed(ConnectionError):
    """The server has said that it never began with this request: it may be sent again elsewhere."""


class Http2:
    """One connection. `closing` is set once the server takes no more requests on it."""

    @classmethod
    async def connect(cls, host, port, tls=None, name=None):
        """`tls` is a context of `ssl` that offers h2; `name` is what the server is called, if not by its address."""
        self = cls()
        self.reader, self.writer = await asyncio.open_connection(host, port, ssl=tls, server_hostname=tls and name)
        self.scheme, self.authority = "https" if tls else "http", name or f"{host}:{port}"
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder()
        self.answers, self.next_stream, self.closing = {}, 1, False
        self.window, self.window_grew = 65535, asyncio.Event()
        self.writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0))
        self.reading = asyncio.create_task(self._read())
        return self

    async def post(self, path, headers, body):
        """Status, headers and body of the answer."""
        while self.window < len(body):
            self.window_grew.clear()
            await self.window_grew.wait()
        if self.closing:
            raise NotProcessed("the connection takes no more requests")
        self.window -= len(body)
        stream, self.next_stream = self.next_stream, self.next_stream + 2
        pseudo = [(":method", "POST"), (":scheme", self.scheme), (":authority", self.authority), (":path", path)]
        block = self.encoder.encode([*pseudo, *headers.items()])
        answer = self.answers[stream] = Answer()
        self.writer.write(frame(HEADERS, END_HEADERS, stream, block) + frame(DATA, END_STREAM, stream, body))
        try:
            await answer.whole
        finally:
            del self.answers[stream]
        return answer.status, answer.headers, bytes(answer.body)

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
        answer = self.answers.get(stream)
        if kind == SETTINGS and not flags & ACK:
            self.writer.write(frame(SETTINGS, ACK, 0))
        elif kind == PING and not flags & ACK:
            self.writer.write(frame(PING, ACK, 0, payload))
        elif kind == WINDOW_UPDATE and stream == 0:
            self.window += int.from_bytes(payload, "big")
            self.window_grew.set()
        elif kind == GOAWAY:
            self.closing = True
            self._end(int.from_bytes(payload[:4], "big"), NotProcessed("the server took no more requests"))
        elif kind in (HEADERS, CONTINUATION):
            # Every block is decoded, wanted or not: the decoder's state depends on it. Ours fit into one frame.
            assert flags & END_HEADERS
            headers = dict(self.decoder.decode(payload))
            if answer:
                answer.status, answer.headers = int(headers.pop(":status")), headers
        elif kind == RST_STREAM and answer and not answer.whole.done():
            answer.whole.set_exception(ConnectionError(f"reset with {int.from_bytes(payload, 'big')}"))
        elif kind == DATA and payload:
            grow = struct.pack(">I", len(payload))
            self.writer.write(frame(WINDOW_UPDATE, 0, 0, grow))
            if answer:
                answer.body += payload
                if not flags & END_STREAM:
                    self.writer.write(frame(WINDOW_UPDATE, 0, stream, grow))
        if kind in (HEADERS, DATA) and flags & END_STREAM and answer and not answer.whole.done():
            answer.whole.set_result(None)

    def _end(self, last, error):
        """Streams after `last` get no answer."""
        self.closing = True
        # Whoever waits to send is told.
        self.window = max(self.window, 1 << 31)
        self.window_grew.set()
        for stream, answer in self.answers.items():
            if stream > last and not answer.whole.done():
                answer.whole.set_exception(error)


class Answer:
    def __init__(self):
        self.status, self.headers, self.body = None, None, bytearray()
        self.whole = asyncio.get_running_loop().create_future()


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload
