"""A fake of AWS' OTLP endpoints: verifies signatures and accepts binary OTLP over HTTP."""

import contextlib
import gzip
import http.server
import re
import threading
import urllib.request

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from harness.collector import VARIABLES

AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/]+)/(?P<date>\d+)/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request, "
    r"SignedHeaders=(?P<headers>[^,]+), Signature=(?P<signature>[0-9a-f]{64})"
)


class Aws(contextlib.AbstractContextManager):
    """Stores what it accepts, and in `rejected` the reasons for rejections. `forward` gets the metrics unchanged.

    `failing` has the statuses, by service, of the responses to the next requests.
    """

    def __init__(self, forward=None):
        self.forward, self.rejected, self.requests, self.spans, self.metrics = forward, [], [], [], []
        self.failing = {}
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                self.send_response(owner.take(self.path, self.headers, body))
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def overlay(self):
        """Returns an overlay that points the exporters of aws.yaml here and shortens their retry delay."""
        soon = {"retry_on_failure": {"initial_interval": "100ms"}}
        return {
            "exporters": {
                "otlp_http/xray": {"traces_endpoint": f"{self.url}/v1/traces"} | soon,
                "otlp_http/cloudwatch": {"metrics_endpoint": f"{self.url}/v1/metrics"} | soon,
            }
        }

    def take(self, path, headers, body):
        """Stores a request, or rejects it. Returns the status of the response."""
        service = {"/v1/traces": "xray", "/v1/metrics": "monitoring"}.get(path)
        problem = wrong_signature(service, f"{self.url}{path}", headers, body)
        if not problem and (headers["content-type"], headers["content-encoding"]) != ("application/x-protobuf", "gzip"):
            problem = headers.items()
        if problem:
            self.rejected.append((path, problem))
            return 403
        if service in self.failing:
            return self.failing.pop(service)
        plain = gzip.decompress(body)
        if service == "xray":
            count = self._take_spans(ExportTraceServiceRequest.FromString(plain))
        else:
            count = self._take_metrics(ExportMetricsServiceRequest.FromString(plain), plain)
        self.requests.append((service, count, len(plain)))
        return 200

    def _take_spans(self, request):
        spans = []
        for resource in request.resource_spans:
            of_resource = attributes(resource.resource.attributes)
            spans += [Span(span, of_resource) for scope in resource.scope_spans for span in scope.spans]
        self.spans += spans
        return len(spans)

    def _take_metrics(self, request, body):
        count = 0
        for resource in request.resource_metrics:
            of_resource = attributes(resource.resource.attributes)
            for metric in (metric for scope in resource.scope_metrics for metric in scope.metrics):
                kind = metric.WhichOneof("data")
                points = getattr(metric, kind).data_points
                count += len(points)
                self.metrics += [(metric.name, kind, attributes(point.attributes), of_resource) for point in points]
        if self.forward:
            headers = {"content-type": "application/x-protobuf"}
            urllib.request.urlopen(urllib.request.Request(self.forward, body, headers), timeout=10).close()
        return count

    def trace(self, trace_id):
        return [span for span in self.spans if span.trace_id == trace_id]


class Span:
    def __init__(self, span, resource):
        self.name, self.kind, self.resource = span.name, span.kind, resource
        self.trace_id, self.span_id, self.parent = span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex()
        self.start, self.end = span.start_time_unix_nano, span.end_time_unix_nano
        self.status, self.attributes = span.status.code, attributes(span.attributes)


def attributes(pairs):
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value") or "string_value") for pair in pairs}


def wrong_signature(service, url, headers, body):
    """Returns what is wrong with the signature, if anything, by computing it again."""
    given = AUTHORIZATION.fullmatch(headers.get("authorization", ""))
    if not given:
        return f"not signed: {headers.get('authorization')}"
    expected = (VARIABLES["AWS_ACCESS_KEY_ID"], VARIABLES["AWS_REGION"], service)
    if given.group("key", "region", "service") != expected:
        return f"signed for {given.group('key', 'region', 'service')}"
    signed = {name: headers[name] for name in given["headers"].split(";")}
    if not {"host", "x-amz-date"} <= set(signed):
        return f"signed is only {sorted(signed)}"
    request = AWSRequest("POST", url, signed, body)
    request.context["timestamp"] = headers["x-amz-date"]
    credentials = Credentials(VARIABLES["AWS_ACCESS_KEY_ID"], VARIABLES["AWS_SECRET_ACCESS_KEY"])
    signer = SigV4Auth(credentials, service, VARIABLES["AWS_REGION"])
    signature = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
    return None if signature == given["signature"] else "the signature is wrong"
