"""A minimal HTTP/1.1 client on asyncio. The caller manages the connections."""

import asyncio


class NotConnected(ConnectionError):
    """The connection was refused, so no request was lost."""


class Http1:
    """A connection. `closing` is set once the server accepts no more requests on it."""

    @classmethod
    async def connect(cls, host, port, tls=None, name=None):
        """Connects. `tls` is an `ssl` context; `name` is the server name, by default its address."""
        self = cls()
        try:
            self.reader, self.writer = await asyncio.open_connection(host, port, ssl=tls, server_hostname=tls and name)
        except ConnectionRefusedError as error:
            raise NotConnected(str(error)) from error
        self.host, self.closing = name or f"{host}:{port}", False
        return self

    async def post(self, path, headers, body):
        """Sends a request. Returns status, headers and body of the response."""
        fields = {"host": self.host, "content-length": len(body)} | headers
        head = "".join([f"POST {path} HTTP/1.1\r\n", *(f"{name}: {value}\r\n" for name, value in fields.items()), "\r\n"])
        self.writer.write(head.encode() + body)
        first, *lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().rstrip().split("\r\n")
        fields = dict(line.lower().split(": ", 1) if ": " in line else (line.lower(), "") for line in lines)
        self.closing = fields.get("connection") == "close"
        return int(first.split()[1]), fields, await self.reader.readexactly(int(fields["content-length"]))

    def close(self):
        self.writer.close()
