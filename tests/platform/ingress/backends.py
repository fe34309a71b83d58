"""Fake replicas."""

import contextlib
import socketserver
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Backend:
    """Runs `server` in its own thread during the `with` block."""

    def __init__(self, server):
        self.server = server
        self.address = "{}:{}".format(*server.server_address)
        self.thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


class Recorder(Backend):
    """Responds with 200 and stores the headers of every request."""

    def __init__(self):
        self.requests = requests = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                self.rfile.read(int(self.headers["content-length"]))
                requests.append(self.headers)
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        super().__init__(ThreadingHTTPServer(("127.0.0.1", 0), Handler))


class Quitter(Backend):
    """Counts requests and closes the connection without a response, immediately or when it is released."""

    def __init__(self, blocked=False):
        self.received, self.may_close = 0, threading.Event()
        if not blocked:
            self.may_close.set()
        outer = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                with contextlib.suppress(ConnectionError):
                    received = b""
                    while b"\r\n\r\n" not in received:
                        data = self.request.recv(65536)
                        if not data:
                            return
                        received += data
                    outer.received += 1
                    outer.may_close.wait(60)

        super().__init__(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler))
