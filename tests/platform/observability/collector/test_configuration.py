"""The shipped configuration is valid, reports missing variables, and sends to the documented endpoints."""

import contextlib
import http.server
import socket
import subprocess
import threading

import pytest
import yaml
from otlp import ERROR, new_trace, send, span

from harness.collector import SHIPPED, VARIABLES, Collector, command
from harness.process import ENVIRONMENT, wait_until

CLUSTER = ["config.yaml", "aws.yaml", "otlp.yaml"]
COMBINATIONS = [
    ["config.yaml", "aws.yaml"],
    ["config.yaml", "otlp.yaml"],
    CLUSTER,
    [*CLUSTER, "local.yaml"],
    ["config.yaml", "otlp.yaml", "local.yaml"],
]


def validate(files, directory, without=(), overlay=None):
    variables = {name: value for name, value in VARIABLES.items() if name not in without}
    return subprocess.run(
        command(["validate"], files, directory, overlay), env=ENVIRONMENT | variables, capture_output=True, text=True
    )


@pytest.mark.parametrize("files", COMBINATIONS, ids=" ".join)
def test_it_is_valid(files, tmp_path):
    validated = validate(files, tmp_path)
    assert validated.returncode == 0, validated.stderr


@pytest.mark.parametrize("name", ["ENVIRONMENT", "K8S_NODE_NAME", "AWS_REGION"])
def test_a_missing_variable_is_named(name, tmp_path):
    validated = validate(CLUSTER, tmp_path, without=[name])
    assert validated.returncode != 0 and name in validated.stderr


def test_a_back_end_requires_an_address(tmp_path):
    validated = validate(CLUSTER, tmp_path, without=["OTLP_BACKEND_ENDPOINT"])
    assert validated.returncode != 0 and "otlp_http/backend: at least one endpoint must be specified" in validated.stderr


def test_a_collector_without_an_exporter_does_not_start(tmp_path):
    assert validate(["config.yaml"], tmp_path).returncode != 0


def configurations():
    return [yaml.safe_load((SHIPPED / name).read_text()) for name in [*CLUSTER, "local.yaml"]]


def test_the_memory_limiter_is_first():
    pipelines = [pipeline for one in configurations() for pipeline in one.get("service", {}).get("pipelines", {}).items()]
    entrances = [pipeline for _, pipeline in pipelines if not pipeline["receivers"][0].startswith("forward/")]
    assert entrances and all(pipeline["processors"][0] == "memory_limiter" for pipeline in entrances)


def test_the_program_consists_of_the_configured_components():
    """And of the two exporters for debugging. `validate` finds configured components that are not built."""
    kinds = ["receivers", "processors", "exporters", "connectors", "extensions"]
    named = [(kind, name) for one in configurations() for kind in kinds for name in one.get(kind, {})]
    configured = {(kind, name.partition("/")[0].replace("_", "")) for kind, name in named}
    manifest = yaml.safe_load((SHIPPED / "builder.yaml").read_text())
    built = set()
    for kind in kinds:
        for part in manifest[kind]:
            name = part["gomod"].split()[0].rpartition("/")[2]
            built.add((kind, name.removesuffix(kind[:-1])))
    assert built - {("exporters", "debug"), ("exporters", "file")} == configured


def test_all_components_have_the_same_version():
    manifest = yaml.safe_load((SHIPPED / "builder.yaml").read_text())
    parts = [part["gomod"].split() for kind, value in manifest.items() if kind not in ("dist", "providers") for part in value]
    assert {version for _, version in parts} == {f"v{manifest['dist']['version']}"}


class Proxy(contextlib.AbstractContextManager):
    """An HTTP proxy that records the requested hosts and rejects all requests."""

    def __init__(self):
        self.requested = requested = set()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_CONNECT(self):
                requested.add(self.path)
                self.send_error(503)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def test_it_sends_to_the_endpoints_of_its_region(tmp_path):
    with Proxy() as proxy:
        variables = {"HTTPS_PROXY": f"http://127.0.0.1:{proxy.server.server_port}", "AWS_REGION": "ap-south-1"}
        fast = {"SAMPLING_WAIT": "100ms", "FLUSH_TIMEOUT": "100ms", "SCRAPE_INTERVAL": "500ms", "SCRAPE_TIMEOUT": "500ms"}
        with Collector(tmp_path, ["config.yaml", "aws.yaml", "local.yaml"], {}, **variables, **fast) as collector:
            send(collector.endpoint, [span(new_trace(), status=ERROR)])
            expected = {"xray.ap-south-1.amazonaws.com:443", "monitoring.ap-south-1.amazonaws.com:443"}
            wait_until("it has connected to both", lambda: expected <= proxy.requested)
            assert proxy.requested == expected


def test_a_back_end_gets_the_same_traces_and_metrics(collector, backend):
    trace_id = new_trace()
    send(collector.endpoint, [span(trace_id, status=ERROR)])

    def paths(content):
        return {path for path, authorization, body in backend.requests if authorization == "Bearer me" and content in body}

    collector.until("the span has arrived", lambda: paths(bytes.fromhex(trace_id)) == {"/v1/traces"})
    collector.until("metrics have arrived", lambda: paths(b"otelcol_exporter_sent_spans") == {"/v1/metrics"})


def test_grpc_is_accepted(collector):
    host, _, port = collector.grpc.partition(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5))
        settings = connection.recv(9)
    assert settings[3] == 4, "not HTTP/2"
