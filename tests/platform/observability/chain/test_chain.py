"""From a client's request to the alert: all telemetry reports the same failure, linked by the trace id."""

import contextlib
import json
import secrets
from dataclasses import dataclass

import pytest

from harness.collector import Collector
from harness.load import Load, unique_text
from harness.process import http_request
from harness.prometheus import Prometheus, Target
from harness.rules import write_faster
from harness.shoutback import Emulators, Shoutback
from harness.toxiproxy import free_port

ENVIRONMENT = "production"
ALERT = "ShoutbackBreakerOpen"
# An hour in 36 s.
SPEED = 100
SERVER, CLIENT, ERROR = 2, 3, 2
RETRIES = 3


@dataclass
class Stage:
    emulators: Emulators
    service: Shoutback
    collector: Collector
    prometheus: Prometheus
    token: str


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    directory = tmp_path_factory.mktemp("chain")
    admin = f"127.0.0.1:{free_port()}"
    written = directory / "spans.json"
    to_a_file = {
        "exporters": {"file": {"path": str(written), "flush_interval": "100ms"}, "debug": {}},
        "service": {
            "pipelines": {
                "traces/file": {"receivers": ["forward/traces"], "exporters": ["file"]},
                "metrics/debug": {"receivers": ["forward/metrics"], "exporters": ["debug"]},
            }
        },
    }
    with contextlib.ExitStack() as stack:
        emulators = stack.enter_context(Emulators(directory / "emulators.log"))
        variables = {"ENVIRONMENT": ENVIRONMENT, "SHOUTBACK_ADMIN": admin, "SAMPLING_WAIT": "1s"}
        collector = stack.enter_context(Collector(directory, ["config.yaml", "local.yaml"], to_a_file, **variables))
        collector.written = written
        variables = {
            "ADMIN_ADDR": admin,
            "SHOUTCLOUD_URL": f"http://{emulators.shoutcloud}/V1/SHOUT",
            "SHOUTCLOUD_MAX_RETRIES": str(RETRIES),
            # The attempts of the first request alone must not open the breaker.
            "BREAKER_MIN_CALLS": str(2 * (RETRIES + 1)),
            "BREAKER_WINDOW": "5s",
            "BREAKER_OPEN_FOR": "1s",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
            "OTEL_RESOURCE_ATTRIBUTES": f"deployment.environment.name={ENVIRONMENT}",
            "OTEL_BSP_SCHEDULE_DELAY": "100",
        }
        service = stack.enter_context(Shoutback(directory / "service.log", **emulators.authentication(), **variables))
        target = Target(service.admin, {"environment": ENVIRONMENT, "instance": "one"})
        rules = write_faster(directory / "rules", SPEED)
        prometheus = stack.enter_context(Prometheus(directory, [target], rules, "500ms"))
        prometheus.until("the service was scraped", lambda: prometheus.query("shoutback_retry_budget_remaining"))
        yield Stage(emulators, service, collector, prometheus, emulators.token())


def value(stage, expression):
    return sum(value for _, value in stage.prometheus.query(expression))


def line_of(stage, request_id):
    """Returns the log line of a request, once it is written."""

    def found():
        # The last line may be partial.
        lines = stage.service.output().splitlines(keepends=True)
        whole = (json.loads(line) for line in lines if line.startswith("{") and line.endswith("\n"))
        return [line for line in whole if line.get("http.request.id") == request_id and line.get("event.action") == "request"]

    line, = stage.service.until("its line is written", found)
    return line


def attributes_of(of):
    return {attribute["key"]: next(iter(attribute["value"].values())) for attribute in of.get("attributes", [])}


def spans_of(stage, trace_id):
    """Returns the spans of a trace as written by the collector, ordered by their start, once they include the request's span."""

    def found():
        if not stage.collector.written.exists():
            return []
        lines = stage.collector.written.read_text().splitlines(keepends=True)
        batches = [json.loads(line) for line in lines if line.endswith("\n")]
        spans = [
            span | {"resource": attributes_of(of["resource"]), "attributes": attributes_of(span)}
            for batch in batches
            for of in batch["resourceSpans"]
            for scope in of["scopeSpans"]
            for span in scope["spans"]
            if span["traceId"] == trace_id
        ]
        return spans if any(span["kind"] == SERVER for span in spans) else []

    spans = stage.collector.until("the trace is written", found)
    return sorted(spans, key=lambda span: int(span["startTimeUnixNano"]))


def test_a_failed_request_can_be_traced_from_the_client_to_the_alert(stage):
    stage.emulators.behave(failure_rate=1.0)
    trace_id, caller, request_id = secrets.token_hex(16), secrets.token_hex(8), f"chain-{secrets.token_hex(4)}"
    headers = {
        "authorization": f"Bearer {stage.token}",
        "content-type": "application/json",
        "traceparent": f"00-{trace_id}-{caller}-01",
        "x-request-id": request_id,
    }

    # The response has the id of the request,
    status, text = http_request("POST", stage.service.url, {"data": "the text of a failure"}, headers)
    problem = json.loads(text)
    assert (status, problem["type"], problem["instance"]) == (503, "/docs#upstream-unavailable", f"/requests/{request_id}")

    # which identifies its log line, which has the trace id,
    line = line_of(stage, request_id)
    assert line["trace.id"] == trace_id
    assert line["error.type"] == "upstream-unavailable"
    assert line["shoutback.upstream.attempts"] == RETRIES + 1
    assert line["client.user.id"] == stage.emulators.client_id
    assert line["service.environment"] == ENVIRONMENT
    assert "the text of a failure" not in stage.service.output()

    # in which the request's span is a child of the client's, and each attempt a child of the request's.
    request, *attempts = spans_of(stage, trace_id)
    assert (request["name"], request["kind"], request["parentSpanId"]) == ("POST /v1", SERVER, caller)
    assert (request["spanId"], request["status"]["code"]) == (line["span.id"], ERROR)
    assert request["attributes"]["shoutback.request.id"] == request_id
    assert request["resource"]["deployment.environment.name"] == ENVIRONMENT
    assert [attempt["attributes"].get("http.request.resend_count") for attempt in attempts] == [None, "1", "2", "3"]
    for attempt in attempts:
        assert (attempt["kind"], attempt["parentSpanId"], attempt["status"]["code"]) == (CLIENT, request["spanId"], ERROR)
        assert attempt["attributes"]["error.type"] == "transient_status"

    # The metrics agree: one response, each attempt, each retry.
    for expression, counted in [
        ('http_server_request_duration_seconds_count{http_route="/v1",error_type="upstream-unavailable"}', 1),
        ('http_client_request_duration_seconds_count{error_type="transient_status"}', RETRIES + 1),
        ('shoutback_upstream_retries_total{reason="transient_status"}', RETRIES),
        (f'shoutback_shouts_total{{client_id="{stage.emulators.client_id}",outcome="upstream-unavailable",source="upstream"}}', 1),
    ]:
        stage.prometheus.until(f"{expression} is {counted}", lambda: value(stage, expression) == counted)

    # One failure raises no alert; if failures continue, their alert fires, and resolves when they end.
    firing = lambda: [alert for alert in stage.prometheus.alerts("firing") if alert["labels"]["alertname"] == ALERT]
    assert not firing()
    with Load() as load:
        load.start(stage.service.address, 20, unique_text(stage.token))
        alert, *_ = stage.prometheus.until("the alert fires", firing)
        assert alert["labels"]["environment"] == ENVIRONMENT
        assert alert["annotations"]["runbook_url"].endswith(f"/runbooks/{ALERT}.md")
        stage.emulators.behave()
        stage.prometheus.until("the alert is resolved", lambda: not firing())
