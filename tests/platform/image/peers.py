"""A fake DNS resolver and a key server with TLS for the container."""

import http.server
import random
import socket
import ssl
import subprocess
import threading
import urllib.request

A, IN, LOOPBACK = 1, 1, bytes([127, 0, 0, 1])


class Peer:
    """A server in its own thread during the `with` block."""

    def __enter__(self):
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop()
        self.thread.join()


class Resolver(Peer):
    """A DNS server for one name, which resolves to 127.0.0.1. Has its own address, because resolv.conf supports no ports."""

    def __init__(self, name):
        self.name, self.queries = name, []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.address = ".".join(["127", *(str(random.randint(1, 254)) for _ in range(3))])
        self.socket.bind((self.address, 53))

    def serve(self):
        while True:
            query, peer = self.socket.recvfrom(512)
            if not query:
                self.socket.close()
                return
            self.socket.sendto(self._response(query), peer)

    def _response(self, query):
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1 : at + 1 + query[at]].decode())
            at += 1 + query[at]
        question = query[12 : at + 5]
        kind = int.from_bytes(question[-4:-2])
        name = ".".join(labels).lower()
        self.queries.append(name)
        found = name == self.name and kind == A
        # A pointer to the question's name, type, class, a TTL of 0, the address.
        record = b"\xc0\x0c" + A.to_bytes(2) + IN.to_bytes(2) + bytes(4) + b"\x00\x04" + LOOPBACK if found else b""
        flags = 0x8180 if name == self.name else 0x8183
        header = query[:2] + flags.to_bytes(2) + b"\x00\x01" + int(found).to_bytes(2) + bytes(4)
        return header + question + record

    def stop(self):
        self.socket.sendto(b"", (self.address, 53))


class KeyServer(Peer):
    """Forwards the responses of `behind` over TLS as `name`. `authority` is the issuer's certificate."""

    def __init__(self, name, behind, directory):
        self.authority = directory / "authority.pem"
        certificate(name, directory, self.authority)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(directory / "server.pem", directory / "server.key")

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                with urllib.request.urlopen(f"{behind}{self.path}") as response:
                    body = response.read()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        # Each handshake is in its connection's thread, so that an aborted one delays no other.
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.server.handle_error = lambda *_: None
        self.url = f"https://{name}:{self.server.server_port}"

    def serve(self):
        self.server.serve_forever()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


def certificate(name, directory, authority):
    """Creates `server.pem` and `server.key` for `name`, issued by a new `authority`."""

    def openssl(*arguments):
        subprocess.run(["openssl", *(str(argument) for argument in arguments)], cwd=directory, check=True, capture_output=True)

    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    openssl("req", "-x509", *key, "-keyout", "authority.key", "-out", authority, "-subj", "/CN=authority", "-days", 1)
    (directory / "extensions").write_text(f"subjectAltName=DNS:{name}\nbasicConstraints=CA:FALSE\n")
    openssl("req", *key, "-keyout", "server.key", "-out", "server.csr", "-subj", f"/CN={name}")
    signer = ["-CA", authority, "-CAkey", "authority.key", "-CAcreateserial", "-days", 1]
    openssl("x509", "-req", "-in", "server.csr", *signer, "-extfile", "extensions", "-out", "server.pem")
