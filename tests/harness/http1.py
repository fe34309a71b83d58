"""A small client of HTTP/1.1 on asyncio, which leaves connections to its caller."""

import asyncio


class NotConnected(ConnectionError):
    """The connection was refused, so that no request can have been lost on it."""


class Http1:
    """One connection. `closing` is set once the server takes no more requests on it."""

    @classmethod
    async def connect(cls, host, port, tls=None, name=None):
        """`tls` is a context of `ssl`; `name` is what the server is called, if not by its address."""
        self = cls()
        try:
            self.reader, self.writer = await asyncio.open_connection(host, port, ssl=tls, server_hostname=tls and name)
        except ConnectionRefusedError as error:
            raise NotConnected(str(error)) from error
        self.host, self.closing = name or f"{host}:{port}", False
        return self

    async def post(self, path, headers, body):
        """Status, headers and body of the answer."""
        fields = {"host": self.host, "content-length": len(body)} | headers
        head = "".join([f"POST {path} HTTP/1.1\r\n", *(f"{name}: {value}\r\n" for name, value in fields.items()), "\r\n"])
        self.writer.write(head.encode() + body)
        first, *lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().rstrip().split("\r\n")
        answered = dict(line.lower().split(": ", 1) if ": " in line else (line.lower(), "") for line in lines)
        self.closing = answered.get("connection") == "close"
        return int(first.split()[1]), answered, await self.reader.readexactly(int(answered["content-length"]))

    def close(self):
        self.writer.close()
