"""The dashboards query exactly the metrics that the service exports."""

import gzip
import http.client
import itertools
import re
import subprocess
from pathlib import Path

import pytest
from conftest import INTERVAL
from dashboards import expressions, metrics

from harness.process import http_request
from harness.shoutback import Emulators, Shoutback

PAGE = Path(__file__).parents[4] / "docs/metrics.md"

QUERIED = set().union(*(metrics(expression) for expression in expressions()))


@pytest.fixture(scope="session")
def scraped(recorded):
    """Returns the service's metrics as text."""
    status, text = http_request("GET", f"http://{recorded.traffic.replicas[0].admin}/metrics")
    assert status == 200
    return text


def test_promtool_accepts_names_units_and_help(scraped):
    checked = subprocess.run(["promtool", "check", "metrics"], input=scraped, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr


@pytest.fixture(scope="session")
def exported(scraped):
    """Returns the names of the service's metrics."""
    return set(re.findall(r"(?m)^# TYPE (\w+) ", scraped))


def test_each_queried_metric_is_exported(exported):
    assert QUERIED - exported == set()


def test_each_exported_metric_is_queried(exported):
    assert exported - QUERIED == set(), "add panels to observability/grafana/source, and run `make dashboards`"


def test_each_documented_metric_is_queried():
    described = set(re.findall(r"(?m)^\| `(\w+)` \|", PAGE.read_text()))
    assert len(described) > 35
    assert described - QUERIED == set()


DOCUMENTED = re.findall(r"(?ms)^```promql\n(.*?)\n```$", PAGE.read_text())


@pytest.mark.parametrize("query", DOCUMENTED)
def test_documented_queries_have_data(query, recorded):
    """Without the filter for zeros, which is for readers."""
    assert len(DOCUMENTED) > 12
    window = query.replace("[5m]", f"[{8 * INTERVAL:g}s]").removesuffix(" > 0")
    assert recorded.at_the_end(window), window


METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "QUERY"]
PATHS = ["/v1", "/", "/docs", "/docs/page.js", "/openapi.json"]


def attack(address, word, token):
    """Sends every kind of request, with `word` wherever a client chooses a text."""
    authorized = {"authorization": f"Bearer {token}"}
    headers = [
        {},
        {"authorization": f"Bearer {word}"},
        authorized | {"content-type": f"text/{word}"},
        authorized | {"content-type": "text/plain", "accept": f"text/{word}", "x-forwarded-proto": "https"},
        {"content-length": "99999999", "x-forwarded-proto": word},
    ]
    for method, path, sent in itertools.product([*METHODS, word], [*PATHS, f"/{word}", f"/v1/{word}"], headers):
        connection = http.client.HTTPConnection(address)
        connection.request(method, path, None if "content-length" in sent else word, sent)
        connection.getresponse()
        connection.close()


def compressed(service):
    connection = http.client.HTTPConnection(service.admin)
    connection.request("GET", "/metrics", headers={"accept-encoding": "gzip"})
    return connection.getresponse().read()


def test_a_client_cannot_add_series(tmp_path):
    """Only the first request of each kind does, whatever texts it has; a scrape stays small."""
    with Emulators(tmp_path / "emulators.log") as emulators:
        upstream = {"SHOUTCLOUD_URL": f"http://{emulators.shoutcloud}/V1/SHOUT"}
        with Shoutback(tmp_path / "log", **(emulators.authentication() | upstream)) as service:
            found = []
            for word in ("one", "another"):
                attack(service.address, word, emulators.token())
                body = compressed(service)
                assert len(body) < 30_000
                found.append(re.findall(r"(?m)^(\w.*) \S+$", gzip.decompress(body).decode()))
            assert len(found[0]) > 1000 and sorted(found[0]) == sorted(found[1])
