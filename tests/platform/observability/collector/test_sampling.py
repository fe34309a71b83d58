"""Which traces leave the collector, and that they leave whole."""

from otlp import CLIENT, ERROR, new_trace, send, span

from harness.process import http_request
from harness.shoutback import metric

REST = 300


def request(trace_id, attempts=1, **server):
    """A server span and the attempts below it."""
    parent = span(trace_id, **server)
    return [parent, *(span(trace_id, parent["spanId"], CLIENT) for _ in range(attempts))]


def test_failed_and_slow_ones_are_kept_and_one_in_ten_of_the_rest(collector, aws):
    failed = [request(new_trace(), status=ERROR) for _ in range(20)]
    slow = [request(new_trace(), milliseconds=1100) for _ in range(20)]
    rest = [request(new_trace(), attempts=2, milliseconds=900) for _ in range(REST)]
    hidden = request(new_trace())
    hidden.append(span(hidden[0]["traceId"], hidden[0]["spanId"], CLIENT, ERROR))
    # As an exporter may: the attempts in a batch, and the request that they belong to in the next.
    everything = [*failed, *slow, *rest, hidden]
    send(collector.endpoint, [attempt for trace in everything for attempt in trace[1:]])
    send(collector.endpoint, [trace[0] for trace in everything])

    def has_left(trace):
        return len(aws.trace(trace[0]["traceId"])) > 0

    kept = [*failed, *slow, hidden]
    collector.until("what must be kept has left", lambda: all(map(has_left, kept)))
    collector.until("the rest is decided", lambda: not in_memory(collector))
    collector.until("what was chosen of the rest has left", lambda: sum(map(has_left, rest)) >= REST // 20)
    chosen = [trace for trace in rest if has_left(trace)]
    # Thirty on average; so far off it is once in a billion runs, if ids were new in each.
    assert REST // 20 < len(chosen) < REST // 5
    for trace in kept + chosen:
        assert {one.span_id for one in aws.trace(trace[0]["traceId"])} == {one["spanId"] for one in trace}


def in_memory(collector):
    return metric(http_request("GET", collector.metrics)[1], "otelcol_processor_tail_sampling_sampling_traces_on_memory")


def test_what_comes_late_shares_the_decision(collector, aws):
    failed, fine = new_trace(), [new_trace() for _ in range(30)]
    send(collector.endpoint, [span(failed, status=ERROR), *map(span, fine)])
    collector.until("the first has left", lambda: aws.trace(failed))
    left = {trace_id for trace_id in fine if aws.trace(trace_id)}
    late = {trace_id: span(trace_id) for trace_id in [failed, *fine]}
    send(collector.endpoint, list(late.values()))
    collector.until("the late one has left", lambda: len(aws.trace(failed)) == 2)
    assert {trace_id for trace_id in fine if aws.trace(trace_id)} == left
    assert all(len(aws.trace(trace_id)) == 2 for trace_id in left)


def test_spans_say_which_environment_and_cloud_they_are_of(collector, aws):
    silent, outspoken = new_trace(), new_trace()
    send(collector.endpoint, [span(silent, status=ERROR)], **{"service.name": "shoutback"})
    send(collector.endpoint, [span(outspoken, status=ERROR)], **{"deployment.environment.name": "its own"})
    collector.until("both have left", lambda: aws.trace(silent) and aws.trace(outspoken))
    assert aws.trace(silent)[0].resource | {
        "service.name": "shoutback",
        "deployment.environment.name": "test",
        "cloud.provider": "aws",
        "cloud.region": "eu-central-1",
    } == aws.trace(silent)[0].resource
    assert aws.trace(outspoken)[0].resource["deployment.environment.name"] == "its own"


def test_requests_stay_below_what_the_endpoint_takes(collector, aws):
    """X-Ray refuses more than 10,000 spans or 5 MB at once."""
    large = new_trace()
    send(collector.endpoint, [span(large, status=ERROR, data="x" * 400) for _ in range(12_000)])
    collector.until("all have left", lambda: len(aws.trace(large)) == 12_000)
    sizes = [(count, size) for service, count, size in aws.requests if service == "xray"]
    assert max(count for count, _ in sizes) <= 10_000 and max(size for _, size in sizes) <= 5_000_000


def test_what_the_endpoint_cannot_take_now_is_sent_again(collector, aws):
    failed = new_trace()
    aws.failing["xray"] = 503
    send(collector.endpoint, [span(failed, status=ERROR)])
    collector.until("it has left after all", lambda: aws.trace(failed))
    assert "xray" not in aws.failing
