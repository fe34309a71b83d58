"""OpenSearch, where the service's log lines end up. Its binary is on PATH once `scripts/tools path opensearch` has put it there."""

import json
import socket

from .process import Process, answers, ask


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class OpenSearch(Process):
    """One empty node in `directory`, ready when it is made."""

    def __init__(self, directory):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        super().__init__(["opensearch", directory / "node", self.port], directory / "opensearch.log")
        with self.starting():
            # It answers before it has elected itself, and takes nothing until then.
            health = f"{self.url}/_cluster/health?wait_for_status=yellow&timeout=1s"
            self.until("it takes requests", lambda: answers(health), within=180)

    def call(self, method, path, body=None):
        """The answer's JSON; a list of a body is sent as lines. Fails with what OpenSearch says if it refuses."""
        headers = {"content-type": "application/json"}
        if isinstance(body, list):
            headers = {"content-type": "application/x-ndjson"}
            body = "".join(json.dumps(line) + "\n" for line in body).encode()
        status, text = ask(method, f"{self.url}{path}", body, headers, timeout=60)
        assert status < 300, f"{method} {path}: {status} {text}"
        return json.loads(text)
