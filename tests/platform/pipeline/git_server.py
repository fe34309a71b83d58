"""A git server over http."""

import base64
import http.server
import ssl
import subprocess
import threading

from harness.process import ENVIRONMENT

READ, WRITE = "ghs_reads", "ghs_writes"
OWNER = "example"


class GitServer:
    """git http-backend, in its own thread during the `with` block. With a certificate authority, over https and with a login: one token reads,
    the other one reads and writes. Without one, every client reads."""

    def __init__(self, root, authority=None):
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                self.answer(b"")

            def do_POST(self):
                self.answer(self.body())

            def body(self):
                if self.headers.get("transfer-encoding") != "chunked":
                    return self.rfile.read(int(self.headers.get("content-length", 0)))
                chunks = []
                while size := int(self.rfile.readline(), 16):
                    chunks.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(chunks)

            def answer(self, body):
                path, _, query = self.path.partition("?")
                login = (self.headers.get("authorization") or "").removeprefix("Basic ")
                token = base64.b64decode(login).decode().partition(":")[2]
                writes = "git-receive-pack" in self.path
                if token not in ((WRITE,) if writes else (READ, WRITE)) and (authority or writes):
                    server.rejected.append((self.path, token))
                    self.send_response(403 if token else 401)
                    self.send_header("www-authenticate", 'Basic realm="git"')
                    self.send_header("content-length", "0")
                    self.end_headers()
                    return
                variables = ENVIRONMENT | {
                    "GIT_PROJECT_ROOT": str(root),
                    "GIT_HTTP_EXPORT_ALL": "1",
                    "PATH_INFO": path.removeprefix(f"/{OWNER}"),
                    "QUERY_STRING": query,
                    "REQUEST_METHOD": self.command,
                    "CONTENT_TYPE": self.headers.get("content-type", ""),
                    "CONTENT_LENGTH": str(len(body)),
                    "HTTP_CONTENT_ENCODING": self.headers.get("content-encoding", ""),
                    "GIT_PROTOCOL": self.headers.get("git-protocol", ""),
                    "REMOTE_USER": "x-access-token",
                }
                done = subprocess.run(["git", "http-backend"], env=variables, input=body, capture_output=True)
                head, _, content = done.stdout.partition(b"\r\n\r\n")
                headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
                self.send_response(int(headers.pop("Status", "200 OK").split()[0]))
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        self.rejected = []
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if authority:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            authority.issue_cert("127.0.0.1").configure_cert(context)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        # The owner's name, as at GitHub, is not part of the folder.
        self.url = f"{'https' if authority else 'http'}://127.0.0.1:{self.server.server_port}/{OWNER}/shoutback.git"
        self.thread = threading.Thread(target=self.server.serve_forever)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
