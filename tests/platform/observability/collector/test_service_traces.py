"""The service's traces after the collector."""

import random

import pytest
from otlp import CLIENT, ERROR, SERVER

UNSET = 0


class Caller:
    def __init__(self, ids=random, sampled=True):
        self.trace_id, self.span_id = f"{ids.getrandbits(128):032x}", f"{ids.getrandbits(64):016x}"
        self.headers = {"traceparent": f"00-{self.trace_id}-{self.span_id}-{'01' if sampled else '00'}"}


@pytest.fixture
def shoutcloud(emulators):
    yield emulators
    emulators.behave()


def until_exported(collector, aws, caller):
    """Returns the request's span and its attempts, ordered by their start."""
    collector.until("the trace is exported", lambda: any(span.kind == SERVER for span in aws.trace(caller.trace_id)))
    spans = sorted(aws.trace(caller.trace_id), key=lambda span: span.start)
    request, = (span for span in spans if span.kind == SERVER)
    return request, [span for span in spans if span.kind == CLIENT]


def test_a_failed_request_is_sampled_with_every_attempt_below_the_client(collector, aws, shout, shoutcloud):
    shoutcloud.behave(failure_rate=1.0)
    caller = Caller()
    assert shout("a failure", **caller.headers, **{"x-request-id": "sent-by-a-test"}) == 503
    request, attempts = until_exported(collector, aws, caller)
    assert (request.name, request.parent, request.status) == ("POST /v1", caller.span_id, ERROR)
    assert request.attributes | {
        "http.request.method": "POST",
        "http.route": "/v1",
        "url.path": "/v1",
        "http.response.status_code": 503,
        "error.type": "upstream-unavailable",
        "shoutback.request.id": "sent-by-a-test",
    } == request.attributes
    assert "shoutback.client.id" in request.attributes
    assert len(attempts) == 4
    assert [attempt.attributes.get("http.request.resend_count") for attempt in attempts] == [None, 1, 2, 3]
    host, _, port = shoutcloud.shoutcloud.partition(":")
    for attempt in attempts:
        assert (attempt.name, attempt.parent, attempt.status) == ("POST", request.span_id, ERROR)
        assert attempt.attributes["error.type"] == "transient_status"
        assert (attempt.attributes["server.address"], attempt.attributes["server.port"]) == (host, int(port))
        assert request.start <= attempt.start <= attempt.end <= request.end
    # In sequence.
    assert all(one.end <= next_one.start for one, next_one in zip(attempts, attempts[1:]))


def test_a_slow_request_is_sampled_though_it_succeeded(collector, aws, shout, shoutcloud):
    shoutcloud.behave(delay="1100ms")
    caller = Caller()
    assert shout("a slow one", **caller.headers) == 200
    request, attempts = until_exported(collector, aws, caller)
    assert request.status == UNSET
    assert (request.attributes["http.response.status_code"], request.attributes["shoutback.source"]) == (200, "upstream")
    attempt, = attempts
    assert (attempt.parent, attempt.status) == (request.span_id, UNSET)


def test_spans_have_the_service_and_its_environment(collector, aws, shout, shoutcloud):
    shoutcloud.behave(delay="1100ms")
    caller = Caller()
    assert shout("another slow one", **caller.headers) == 200
    request, attempts = until_exported(collector, aws, caller)
    for span in [request, *attempts]:
        assert span.resource["service.name"] == "shoutback"
        assert span.resource["deployment.environment.name"] == "test"
        assert {"service.version", "service.instance.id", "vcs.ref.head.revision"} <= set(span.resource)


def test_one_in_ten_of_successful_requests_is_sampled_whatever_the_callers_decided(collector, aws, shout, shoutcloud):
    # The same trace ids in every run, so that sampling makes the same choice.
    ids = random.Random(4)
    sampled, unsampled = [Caller(ids) for _ in range(60)], [Caller(ids, sampled=False) for _ in range(60)]
    for caller in sampled + unsampled:
        assert shout("succeeds", **caller.headers) == 200
    # The collector decides in the order of arrival, and this one is sampled.
    shoutcloud.behave(failure_rate=1.0)
    last = Caller(ids)
    assert shout("the last one", **last.headers) == 503
    until_exported(collector, aws, last)
    for callers in (sampled, unsampled):
        assert 0 < sum(len(aws.trace(caller.trace_id)) > 0 for caller in callers) < 20
