"""The sampled traces, and that they are complete."""

from otlp import CLIENT, ERROR, new_trace, send, span

from harness.process import http_request
from harness.shoutback import metric

REST = 300


def request(trace_id, attempts=1, **server):
    """Returns a server span and its attempts."""
    parent = span(trace_id, **server)
    return [parent, *(span(trace_id, parent["spanId"], CLIENT) for _ in range(attempts))]


def test_failed_and_slow_traces_are_sampled_and_one_in_ten_of_the_rest(collector, aws):
    failed = [request(new_trace(), status=ERROR) for _ in range(20)]
    slow = [request(new_trace(), milliseconds=1100) for _ in range(20)]
    rest = [request(new_trace(), attempts=2, milliseconds=900) for _ in range(REST)]
    hidden = request(new_trace())
    hidden.append(span(hidden[0]["traceId"], hidden[0]["spanId"], CLIENT, ERROR))
    # As exporters may do: the attempts in one batch, and the request's span in the next.
    everything = [*failed, *slow, *rest, hidden]
    send(collector.endpoint, [attempt for trace in everything for attempt in trace[1:]])
    send(collector.endpoint, [trace[0] for trace in everything])

    def is_exported(trace):
        return len(aws.trace(trace[0]["traceId"])) > 0

    always = [*failed, *slow, hidden]
    collector.until("failed and slow traces are exported", lambda: all(map(is_exported, always)))
    collector.until("the rest is decided", lambda: not in_memory(collector))
    collector.until("the sample of the rest is exported", lambda: sum(map(is_exported, rest)) >= REST // 20)
    chosen = [trace for trace in rest if is_exported(trace)]
    # Thirty on average; with random ids, one run in a billion would be outside these bounds.
    assert REST // 20 < len(chosen) < REST // 5
    for trace in always + chosen:
        assert {one.span_id for one in aws.trace(trace[0]["traceId"])} == {one["spanId"] for one in trace}


def in_memory(collector):
    return metric(http_request("GET", collector.metrics)[1], "otelcol_processor_tail_sampling_sampling_traces_on_memory")


def test_late_spans_share_the_decision(collector, aws):
    failed, fine = new_trace(), [new_trace() for _ in range(30)]
    send(collector.endpoint, [span(failed, status=ERROR), *map(span, fine)])
    collector.until("the first is exported", lambda: aws.trace(failed))
    sampled = {trace_id for trace_id in fine if aws.trace(trace_id)}
    late = {trace_id: span(trace_id) for trace_id in [failed, *fine]}
    send(collector.endpoint, list(late.values()))
    collector.until("the late one is exported", lambda: len(aws.trace(failed)) == 2)
    assert {trace_id for trace_id in fine if aws.trace(trace_id)} == sampled
    assert all(len(aws.trace(trace_id)) == 2 for trace_id in sampled)


def test_spans_have_environment_and_cloud(collector, aws):
    unlabelled, labelled = new_trace(), new_trace()
    send(collector.endpoint, [span(unlabelled, status=ERROR)], **{"service.name": "shoutback"})
    send(collector.endpoint, [span(labelled, status=ERROR)], **{"deployment.environment.name": "its own"})
    collector.until("both are exported", lambda: aws.trace(unlabelled) and aws.trace(labelled))
    assert aws.trace(unlabelled)[0].resource | {
        "service.name": "shoutback",
        "deployment.environment.name": "test",
        "cloud.provider": "aws",
        "cloud.region": "eu-central-1",
    } == aws.trace(unlabelled)[0].resource
    assert aws.trace(labelled)[0].resource["deployment.environment.name"] == "its own"


def test_requests_are_within_the_limits_of_x_ray(collector, aws):
    """X-Ray rejects requests with more than 10,000 spans or 5 MB."""
    large = new_trace()
    send(collector.endpoint, [span(large, status=ERROR, data="x" * 400) for _ in range(12_000)])
    collector.until("all are exported", lambda: len(aws.trace(large)) == 12_000)
    sizes = [(count, size) for service, count, size in aws.requests if service == "xray"]
    assert max(count for count, _ in sizes) <= 10_000 and max(size for _, size in sizes) <= 5_000_000


def test_temporary_failures_are_retried(collector, aws):
    failed = new_trace()
    aws.failing["xray"] = 503
    send(collector.endpoint, [span(failed, status=ERROR)])
    collector.until("it is exported", lambda: aws.trace(failed))
    assert "xray" not in aws.failing
