"""Runs the programs that /docs shows, unchanged."""

import html
import os
import re
import subprocess
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import pytest

from harness.process import ENVIRONMENT, http_request

FILES = Path("src/http/docs/examples")
COMMANDS = {
    "curl": ("shout.sh", ["sh", FILES / "shout.sh"], '{"data":"!DLROW ,OLLEH"}'),
    "python": ("shout.py", ["python3", FILES / "shout.py"], "!DLROW ,OLLEH"),
    "javascript": ("shout.mjs", ["node", FILES / "shout.mjs"], "!DLROW ,OLLEH"),
    "rust": ("shout.rs", [os.environ["EXAMPLE_BIN"]], "!DLROW ,OLLEH"),
}


def run(language, service, token):
    command = COMMANDS[language][1]
    variables = {"SHOUTBACK": service.public, "TOKEN": token}
    return subprocess.run(command, env=ENVIRONMENT | variables, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("language", COMMANDS)
def test_it_shouts(service, language):
    ended = run(language, service, service.token())
    assert (ended.returncode, ended.stdout.strip(), ended.stderr) == (0, COMMANDS[language][2], "")


@pytest.mark.parametrize("language", COMMANDS)
def test_it_prints_why_it_is_rejected(service, language):
    ended = run(language, service, "eyJ.not.one")
    assert ended.returncode != 0
    assert "Unauthenticated" in ended.stdout + ended.stderr


class Gateway(BaseHTTPRequestHandler):
    """A gateway between client and service, which fails."""

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        page = b"<h1>Bad Gateway</h1>"
        self.send_response(502)
        self.send_header("content-type", "text/html")
        self.send_header("content-length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, *_):
        pass


@pytest.fixture
def gateway():
    with ThreadingHTTPServer(("127.0.0.1", 0), Gateway) as server:
        Thread(target=server.serve_forever).start()
        yield SimpleNamespace(public=f"http://127.0.0.1:{server.server_address[1]}")
        server.shutdown()


@pytest.mark.parametrize("language", COMMANDS)
def test_it_prints_the_status_of_a_gateways_response(gateway, language):
    ended = run(language, gateway, "x")
    assert ended.returncode != 0
    assert "502" in ended.stderr


def test_the_page_shows_exactly_these(service):
    _, page = http_request("GET", f"{service.public}/docs")
    shown = dict(re.findall(r'<code id="example-(\w+)">(.*?)</code>', page, re.S))
    assert {name: html.unescape(text) for name, text in shown.items()} == {
        name: (FILES / file).read_text().rstrip() for name, (file, _, _) in COMMANDS.items()
    }
