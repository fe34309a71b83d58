"""Runs OpenSearch, which stores the service's log lines. Its binary is on the PATH that `scripts/tools path opensearch` prints."""

import json
import socket

from .process import Process, responds_ok, http_request


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class OpenSearch(Process):
    """An empty node in `directory`; the constructor returns when it is ready."""

    def __init__(self, directory):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        super().__init__(["opensearch", directory / "node", self.port], directory / "opensearch.log")
        with self.starting():
            # It responds before it has elected itself, and rejects writes until then.
            health = f"{self.url}/_cluster/health?wait_for_status=yellow&timeout=1s"
            self.until("it accepts requests", lambda: responds_ok(health), within=180)

    def call(self, method, path, body=None):
        """Sends a request and returns the JSON of the response. A list as the body is sent as lines. Fails with OpenSearch's error."""
        headers = {"content-type": "application/json"}
        if isinstance(body, list):
            headers = {"content-type": "application/x-ndjson"}
            body = "".join(json.dumps(line) + "\n" for line in body).encode()
        status, text = http_request(method, f"{self.url}{path}", body, headers, timeout=60)
        assert status < 300, f"{method} {path}: {status} {text}"
        return json.loads(text)
