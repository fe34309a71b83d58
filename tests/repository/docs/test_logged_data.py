"""SECURITY.md lists what the service logs of a request."""

import json
import re

from pages import TOP

from harness.process import http_request
from harness.shoutback import Shoutback

MARK = "zk9x"


def test_only_the_listed_fields_contain_what_the_caller_sent(tmp_path):
    table = (TOP / "SECURITY.md").read_text().partition("\n## Logged data\n")[2]
    documented = set(re.findall(r"^\| .* \| `([a-z.]+)` \|$", table, re.M))
    expected = {
        "http.request.method": "POST",
        "http.version": "1.1",
        "url.path": "/v1",
        "http.request.id": "request-of-the-caller",
        "trace.id": "4bf92f3577b34da6a3ce929d0e0e4736",
        # Of the token; without authentication it is this.
        "client.user.id": "anonymous",
        "http.request.body.bytes": len(MARK),
    }
    assert documented == expected.keys()
    headers = {
        "content-type": "text/plain",
        "x-request-id": expected["http.request.id"],
        "traceparent": f"00-{expected['trace.id']}-00f067aa0ba902b7-01",
        "tracestate": f"{MARK}={MARK}",
        "baggage": f"{MARK}={MARK}",
        **dict.fromkeys(["authorization", "cookie", "referer", "origin", "user-agent", "accept-language", "forwarded", "x-forwarded-for", "x-forwarded-host", f"x-{MARK}"], MARK),
    }
    # Nothing listens there, so the call fails.
    with Shoutback(tmp_path / "log", SHOUTCLOUD_URL="http://127.0.0.1:9/", SHOUTCLOUD_MAX_RETRIES="0") as service:
        assert http_request("POST", f"{service.url}?{MARK}={MARK}", MARK.encode(), headers)[0] == 503
        assert http_request("POST", f"http://{service.address}/{MARK}", MARK.encode(), headers)[0] == 404
        lines = service.until("both lines are logged", lambda: request_lines(service.output()))
    assert {name: lines[0].get(name) for name in expected} == expected
    assert lines[1]["http.request.id"] == expected["http.request.id"] and "url.path" not in lines[1]
    assert MARK not in service.output()


def request_lines(output):
    lines = [json.loads(line) for line in output.splitlines() if '"event.action":"request"' in line and line.endswith("}")]
    lines = [line for line in lines if line["http.request.method"] == "POST"]
    return lines if len(lines) == 2 else None
