"""Tests the service against its OpenAPI document with schemathesis: all requests it allows, and every response it documents."""

import contextlib
import http.client
import http.server
import os
import re
import socket
import subprocess
import threading

import pytest
import requests
import schemathesis
import urllib3

from harness.process import ENVIRONMENT, wait_until
from harness.toxiproxy import free_port

# A fixed seed, so that failures are reproducible. Another seed tries other cases.
SEED = os.environ.get("SCHEMATHESIS_SEED", "20")
EXAMPLES = os.environ.get("SCHEMATHESIS_EXAMPLES", "200")

# The response to a panic, which no request may cause. tests/it covers it.
NOT_TO_BE_HAD = {"500"}


def test_nothing_is_found(start, token):
    """Requests that conform to the document and requests that violate it get documented responses."""
    service = start()
    operations = len(requests.get(f"http://{service.address}/openapi.json", timeout=60).json()["paths"])
    command = ["schemathesis", "run", f"http://{service.address}/openapi.json", f"--header=Authorization: Bearer {token}"]
    command += ["--checks=all", f"--max-examples={EXAMPLES}", f"--seed={SEED}", "--no-color", "--generation-database=none"]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(rf"Tested: {operations}\b", done.stdout), done.stdout


class Nonsense(http.server.BaseHTTPRequestHandler):
    """A SHOUTCLOUD with invalid responses."""

    def do_POST(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<html>")

    def log_message(self, *_):
        pass


@pytest.fixture
def nonsense():
    server = http.server.HTTPServer(("127.0.0.1", 0), Nonsense)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


@contextlib.contextmanager
def unfinished(service, path, token):
    """Sends a request with an unfinished body, and yields its connection."""
    with socket.create_connection((service.address.rpartition(":")[0], service.port), timeout=30) as connection:
        head = f"POST {path} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\ncontent-type: text/plain\r\ncontent-length: 10\r\n\r\nhello"
        connection.sendall(head.encode())
        yield connection


def slow(service, path, token):
    """Returns the response to a request with an unfinished body, as a response of `requests`."""
    with unfinished(service, path, token) as connection:
        received = http.client.HTTPResponse(connection)
        received.begin()
        body = received.read()
    response = requests.Response()
    response.status_code, response._content = received.status, body
    response.headers.update(received.getheaders())
    response.raw = urllib3.HTTPResponse(headers=received.getheaders())
    response.request = requests.Request("POST", url(service, path)).prepare()
    return response


def url(service, path):
    return f"http://{service.address}{path}"


def test_every_documented_response(start, token, emulators, nonsense):
    # With a quota, so that 429 is documented.
    service = start(RATE_LIMIT_PER_CLIENT="1000/s")
    document = schemathesis.openapi.from_url(f"http://{service.address}/openapi.json")
    assert "/v1" in document
    for path in document:
        assert_every_documented_response(path, document[path]["POST"], service, start, token, emulators, nonsense)


def assert_every_documented_response(path, operation, service, start, token, emulators, nonsense):
    seen = set()

    def check(response):
        operation.validate_response(response)
        seen.add(str(response.status_code))

    def post(service, **request):
        headers = {"authorization": f"Bearer {token}"} | request.pop("headers", {})
        return requests.post(url(service, path), headers=headers, timeout=60, **request)

    hello = {"json": {"data": "hello"}}
    check(post(service, **hello))
    check(post(service, data="hello", headers={"content-type": "text/plain"}))
    check(post(service, data="{", headers={"content-type": "application/json"}))
    check(requests.post(url(service, path), timeout=60, **hello))
    check(post(service, headers={"accept": "image/png"}, **hello))
    # As every `100-continue` on HTTP/2, which `requests` does not speak.
    check(post(service, headers={"expect": "100-continue, another"}, **hello))
    check(post(service, data="a" * 70_000, headers={"content-type": "text/plain"}))
    check(post(service, data="<a/>", headers={"content-type": "application/xml"}))
    check(post(start(AUTH_REQUIRED_SCOPES="shoutback/whisper"), **hello))
    check(slow(start(REQUEST_TIMEOUT="500ms", SHOUTCLOUD_DEADLINE="400ms", SHOUTCLOUD_ATTEMPT_TIMEOUT="300ms"), path, token))
    limited = start(RATE_LIMIT_PER_CLIENT="1/s", RATE_LIMIT_BURST="1")
    check(post(limited, **hello))
    check(post(limited, **hello))
    check(post(start(SHOUTCLOUD_URL=nonsense), **hello))
    check(post(start(SHOUTCLOUD_URL=f"http://127.0.0.1:{free_port()}/"), **hello))
    emulators.behave(delay="5s")
    check(post(start(SHOUTCLOUD_DEADLINE="300ms", SHOUTCLOUD_ATTEMPT_TIMEOUT="200ms"), **hello))
    emulators.behave()
    busy = start(MAX_REQUESTS_IN_FLIGHT="1")
    with unfinished(busy, path, token):
        # Once the head of the other request has arrived, which is then the one in flight.
        responses = wait_until("a request is shed", lambda: [one for one in [post(busy, **hello)] if one.status_code == 503])
        check(responses[0])

    assert seen == set(operation.definition.raw["responses"]) - NOT_TO_BE_HAD, path
