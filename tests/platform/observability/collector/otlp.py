"""Sends spans as an instrumented service does: OTLP in JSON over HTTP."""

import random
import time

from harness.process import http_request

OK, ERROR = 1, 2
SERVER, CLIENT = 2, 3
# The same ids in every run, so that sampling makes the same choice.
IDS = random.Random(20)


def new_trace():
    return f"{IDS.getrandbits(128):032x}"


def span(trace_id, parent="", kind=SERVER, status=0, milliseconds=5, **attributes):
    end = time.time_ns()
    return {
        "traceId": trace_id,
        "spanId": f"{IDS.getrandbits(64):016x}",
        "parentSpanId": parent,
        "name": "POST /v1" if kind == SERVER else "POST",
        "kind": kind,
        "startTimeUnixNano": str(end - milliseconds * 1_000_000),
        "endTimeUnixNano": str(end),
        "status": {"code": status} if status else {},
        "attributes": encoded(attributes),
    }


def encoded(attributes):
    return [{"key": key, "value": {"stringValue": value}} for key, value in attributes.items()]


def send(endpoint, spans, **resource):
    body = {"resourceSpans": [{"resource": {"attributes": encoded(resource)}, "scopeSpans": [{"spans": spans}]}]}
    status, text = http_request("POST", f"{endpoint}/v1/traces", body, {"content-type": "application/json"})
    assert status == 200, text
