"""Fixtures: the service, the collector with the shipped configuration, and a fake of AWS."""

import pytest
from aws import Aws
from backend import Backend
from cloudwatch import Store, rendered
from otlp import ERROR, new_trace, send, span

from harness.collector import Collector
from harness.process import http_request
from harness.shoutback import Emulators, Shoutback
from harness.toxiproxy import free_port
from harness.valkey import Server

# The files that a cluster uses, with local.yaml in place of those for Kubernetes.
FILES = ["config.yaml", "aws.yaml", "otlp.yaml", "local.yaml"]
FAST = {"SAMPLING_WAIT": "1s", "FLUSH_TIMEOUT": "100ms", "SCRAPE_INTERVAL": "1s", "SCRAPE_TIMEOUT": "1s"}
ADMIN = f"127.0.0.1:{free_port()}"


@pytest.fixture(scope="session")
def cloudwatch(tmp_path_factory):
    return rendered(tmp_path_factory.mktemp("terraform"))


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    with Store(tmp_path_factory.mktemp("store")) as store:
        yield store


@pytest.fixture(scope="session")
def aws(store):
    with Aws(forward=store.otlp) as aws:
        yield aws
        assert not aws.rejected


@pytest.fixture(scope="session")
def backend():
    with Backend() as backend:
        yield backend


@pytest.fixture(scope="session")
def collector(aws, backend, tmp_path_factory):
    directory = tmp_path_factory.mktemp("collector")
    variables = FAST | {"SHOUTBACK_ADMIN": ADMIN, "OTLP_BACKEND_ENDPOINT": backend.url, "OTLP_BACKEND_AUTHORIZATION": "Bearer me"}
    with Collector(directory, FILES, aws.overlay(), **variables) as collector:
        yield collector


@pytest.fixture(scope="session")
def emulators(tmp_path_factory):
    with Emulators(tmp_path_factory.mktemp("emulators") / "log") as emulators:
        yield emulators


@pytest.fixture(scope="session")
def valkey(tmp_path_factory):
    with Server(tmp_path_factory.mktemp("valkey")) as valkey:
        yield valkey


@pytest.fixture(scope="session")
def service(collector, emulators, valkey, tmp_path_factory):
    variables = {
        "VALKEY_URL": valkey.url,
        "ADMIN_ADDR": ADMIN,
        "SHOUTCLOUD_URL": f"http://{emulators.shoutcloud}/V1/SHOUT",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
    }
    with Shoutback(tmp_path_factory.mktemp("service") / "log", **emulators.authentication(), **variables) as service:
        yield service


@pytest.fixture(scope="session")
def shout(service, emulators):
    """`shout(text, **headers)` sends a request with a valid token and returns its status."""
    token = emulators.token()

    def shout(text, **headers):
        given = {"authorization": f"Bearer {token}", "content-type": "application/json"} | headers
        return http_request("POST", service.url, {"data": text}, given)[0]

    return shout


@pytest.fixture(scope="session")
def scraped(aws, collector, store, service, shout):
    """AWS' endpoints after they have received several scrapes of the service, including a request.

    They have also permanently rejected something, which is when the collector starts to count rejections.
    """
    assert shout("hello") == 200
    aws.failing |= {"monitoring": 400, "xray": 400}
    send(collector.endpoint, [span(new_trace(), status=ERROR)])
    queries = [
        'histogram_count(increase(http_server_request_duration_seconds{http_response_status_code="200"}[1m]))',
        'count_over_time(up{pod!=""}[1m]) >= 3',
        "otelcol_exporter_send_failed_spans",
        "otelcol_exporter_send_failed_metric_points",
    ]
    for query in queries:
        store.until(f"metrics have arrived: {query}", lambda: store.get("query", query=query)[0]["result"])
    return aws
