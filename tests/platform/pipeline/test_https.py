"""A private repository: git over https that asks for a login, with the variables that the workflows give to each program."""

import base64
import http.server
import os
import ssl
import subprocess
import threading

import pytest
import trustme

from harness.git import git
from harness.process import ENVIRONMENT

READ, WRITE = "ghs_reads", "ghs_writes"


class GitServer:
    """git http-backend. One token reads; the other one reads and writes."""

    def __init__(self, root, directory):
        authority = trustme.CA()
        self.certificate = directory / "authority.pem"
        authority.cert_pem.write_to_path(self.certificate)
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
                if token not in ((WRITE,) if writes else (READ, WRITE)):
                    server.rejected.append((self.path, token))
                    self.send_response(403 if token else 401)
                    self.send_header("www-authenticate", 'Basic realm="git"')
                    self.send_header("content-length", "0")
                    self.end_headers()
                    return
                variables = ENVIRONMENT | {
                    "GIT_PROJECT_ROOT": str(root),
                    "GIT_HTTP_EXPORT_ALL": "1",
                    "PATH_INFO": path,
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
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self.server.server_port}/shoutback.git"
        self.thread = threading.Thread(target=self.server.serve_forever)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def private(source, tmp_path):
    git(source.bare, "config", "http.receivepack", "true")
    with GitServer(source.directory, tmp_path) as server:
        yield server


@pytest.fixture
def run(source, merged, private):
    run, *build = merged()
    git(run.directory, "remote", "set-url", "origin", private.url)
    run.variables = {"GIT_SSL_CAINFO": str(private.certificate)}
    run.build = build
    return run


BOTH = {"GITHUB_TOKEN": READ, "GITOPS_TOKEN": WRITE}


def test_each_program_gets_through_with_what_its_step_has(run, github, merged, private):
    deployment = run.prints("deploy", "staging", *run.build, **BOTH)
    github.report(deployment, "argocd/staging", "success", "Healthy")
    # The fake accepts its own token only; git needs another one here, as if they were the same.
    seen = github.variables | {"GITOPS_TOKEN": READ}
    run.prints("wait", "staging", deployment, **seen)
    # The jobs without the key: of the tests, of the announcement, of the candidate.
    reads = {"GITHUB_TOKEN": READ}
    assert run.build[0] in run.prints("history", "staging", **reads)
    assert "first deployment" in run.prints("describe", "production", *run.build, **reads)
    later, *build = merged()
    git(run.directory, "fetch", "--quiet", later.directory.as_uri(), "HEAD")
    run.prints("deploy", "staging", *build, **BOTH)
    run.prints("rollback", "staging", GITOPS_TOKEN=WRITE)
    assert private.rejected == []


def test_wait_reads_with_the_token_of_its_job(run, github, private, monkeypatch):
    deployment = run.prints("deploy", "staging", *run.build, **BOTH)
    github.report(deployment, "argocd/staging", "success", "Healthy")
    monkeypatch.setattr("test_https.READ", github.variables["GITHUB_TOKEN"])
    run.prints("wait", "staging", deployment, **github.variables)


def test_a_token_that_only_reads_deploys_nothing(run, source):
    error = run.error("deploy", "staging", *run.build, GITHUB_TOKEN=READ)
    assert "403" in error and READ not in error
    assert git(source.bare, "rev-parse", "--quiet", "--verify", "deploy/staging", succeeds=False) == ""


def test_without_a_token_there_is_no_prompt(run):
    """No prompt that a job would wait for."""
    assert "could not read Username" in run.error("history", "staging")


def test_a_token_is_never_an_argument(run, private):
    """Other processes on the machine can read those."""
    run.prints("deploy", "staging", *run.build, **BOTH)
    assert WRITE not in (run.directory / ".git/config").read_text()
    assert os.path.exists(private.certificate)
