"""The client spans of commands, as the real collector receives them."""

import json
import os
import signal

import pytest

from client import shout
from harness.collector import Collector

SERVER, CLIENT, FAILED = 2, 3, 2
TEXT = "a text of a client"
QUOTA = {"RATE_LIMIT_PER_CLIENT": "1/h", "RATE_LIMIT_BURST": "6", "CACHE_SHARED": "on"}


class Spans(Collector):
    """A collector that writes every span to a file."""

    def __init__(self, directory):
        self.written = directory / "spans.json"
        overlay = {
            "exporters": {"file": {"path": str(self.written), "flush_interval": "50ms"}},
            "service": {
                "extensions": ["health_check"],
                "telemetry": {"metrics": {"level": "none"}},
                "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["file"]}},
            },
        }
        super().__init__(directory, [], overlay)

    def variables(self, **variables):
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": self.endpoint, "OTEL_BSP_SCHEDULE_DELAY": "20"} | variables

    def spans(self):
        lines = self.written.read_text().splitlines(keepends=True) if self.written.exists() else []
        batches = [json.loads(line) for line in lines if line.endswith("\n")]
        return [
            span | {"attributes": {one["key"]: next(iter(one["value"].values())) for one in span.get("attributes", [])}}
            for batch in batches
            for of in batch["resourceSpans"]
            for scope in of["scopeSpans"]
            for span in scope["spans"]
        ]

    def requests(self):
        return [span for span in self.spans() if span["kind"] == SERVER]

    def commands(self, operation=None):
        """Returns the spans of commands with this purpose, or of all."""
        spans = [span for span in self.spans() if "db.system.name" in span["attributes"]]
        return [span for span in spans if operation in (None, span["attributes"]["shoutback.valkey.operation"])]

    def until_received(self, operation):
        """Waits for commands with this purpose and returns them."""
        return self.until(f"spans of {operation} arrive", lambda: self.commands(operation))


@pytest.fixture
def collector(tmp_path):
    with Spans(tmp_path) as collector:
        yield collector


def test_a_request_has_the_commands_that_it_waits_for_or_begins(start, valkey, collector):
    replica = start(f"{valkey.url}/3", **QUOTA, **collector.variables())
    assert shout(replica, TEXT)[0] == 200
    names = {operation: collector.until_received(operation)[-1]["name"] for operation in ("quota_lease", "cache_read", "cache_write")}
    # The server did not have the script yet.
    assert names == {"quota_lease": "EVAL", "cache_read": "GETRANGE", "cache_write": "SET"}
    request, = collector.until("the request arrives", collector.requests)
    for span in collector.commands():
        assert (span["kind"], span["traceId"], span["parentSpanId"]) == (CLIENT, request["traceId"], request["spanId"])
        attributes = dict(span["attributes"])
        assert attributes.pop("shoutback.valkey.operation") in names
        if span["name"] == "EVALSHA":
            assert (attributes.pop("error.type"), attributes.pop("db.response.status_code")) == ("server_error", "NOSCRIPT")
        # Neither keys nor texts.
        assert attributes == {
            "db.system.name": "redis",
            "db.namespace": "3",
            "db.operation.name": span["name"],
            "server.address": "127.0.0.1",
            "server.port": str(valkey.port),
        }


def test_a_command_that_fails_has_the_error(start, valkey, collector):
    first, second = (start(valkey.url, **QUOTA, **collector.variables()) for _ in range(2))
    assert shout(first, TEXT)[0] == 200
    collector.until_received("cache_write")
    key, = valkey("KEYS", "shoutback:cache:*")
    valkey("DEL", key)
    valkey("RPUSH", key, "x")
    assert shout(second, TEXT)[0] == 200

    def failed(error_type):
        return lambda: [span for span in collector.commands("cache_read") if span["attributes"].get("error.type") == error_type]

    span, = collector.until("the span arrives", failed("wrong_type"))
    assert span["status"]["code"] == FAILED
    assert span["attributes"]["db.response.status_code"] == "WRONGTYPE"

    hasty = start(valkey.url, VALKEY_TIMEOUT="50ms", **QUOTA, **collector.variables())
    os.kill(valkey.pid, signal.SIGSTOP)
    try:
        assert shout(hasty, TEXT)[0] == 200
        span, = collector.until("the span arrives", failed("timeout"))
    finally:
        os.kill(valkey.pid, signal.SIGCONT)
    assert span["status"]["code"] == FAILED
    assert "db.response.status_code" not in span["attributes"]


def test_commands_are_spans_only_where_the_request_is_sampled(start, valkey, collector):
    unsampled = start(valkey.url, **QUOTA, **collector.variables(OTEL_TRACES_SAMPLER="always_off"))
    sampled = start(valkey.url, **QUOTA, **collector.variables())
    assert shout(unsampled, TEXT, {"traceparent": f"00-{'1' * 32}-{'2' * 16}-01"})[0] == 200
    # Its exit exports what it has.
    assert unsampled.stop() == 0
    # These come after them. Leases ahead of need, heartbeats and returns belong to no request.
    for number in range(4):
        assert shout(sampled, f"{TEXT} {number}")[0] == 200
    collector.until("the last ones arrive", lambda: len(collector.requests()) == 4 and len(collector.commands("cache_write")) == 4)
    assert sampled.stop() == 0
    requests = {span["spanId"] for span in collector.requests()}
    assert {span["parentSpanId"] for span in collector.commands()} <= requests
