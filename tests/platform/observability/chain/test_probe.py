"""The real blackbox exporter with the shipped module: tokens from Cognito's emulator, shouts from the real service."""

import re
import urllib.parse
from pathlib import Path

import pytest
import yaml

from harness.process import Process, http_request, responds_ok
from harness.shoutback import Emulators, Shoutback
from harness.toxiproxy import free_port

SHIPPED = Path(__file__).parents[4] / "observability/probes"


class Exporter(Process):
    def __init__(self, directory, emulators, secret):
        module = yaml.safe_load((SHIPPED / "blackbox.yml").read_text())["modules"]["shout"]
        # The emulators and the service speak plain HTTP.
        assert module["http"].pop("fail_if_not_ssl")
        (directory / "secret").write_text(secret)
        module["http"]["oauth2"] |= {
            "client_id": emulators.client_id,
            "client_secret_file": str(directory / "secret"),
            "token_url": f"{emulators.cognito}/oauth2/token",
        }
        (directory / "blackbox.yml").write_text(yaml.safe_dump({"modules": {"shout": module}}))
        self.url = f"http://127.0.0.1:{free_port()}"
        listen = f"--web.listen-address={self.url.removeprefix('http://')}"
        super().__init__(["prometheus-blackbox-exporter", f"--config.file={directory}/blackbox.yml", listen], directory / "log")
        with self.starting():
            self.until("it is ready", lambda: responds_ok(f"{self.url}/-/healthy"))

    def probe(self, target):
        """Returns the metrics of one probe by name, without those with labels."""
        status, text = http_request("GET", f"{self.url}/probe?{urllib.parse.urlencode({'module': 'shout', 'target': target})}")
        assert status == 200, text
        return {name: float(value) for name, value in re.findall(r"^(\w+) (\S+)$", text, re.MULTILINE)}


@pytest.fixture(scope="module")
def emulators(tmp_path_factory):
    with Emulators(tmp_path_factory.mktemp("emulators") / "log") as emulators:
        yield emulators


@pytest.fixture
def service(emulators, tmp_path):
    url = f"http://{emulators.shoutcloud}/V1/SHOUT"
    with Shoutback(tmp_path / "service.log", SHOUTCLOUD_URL=url, **emulators.authentication()) as service:
        yield service


def test_it_gets_a_shout_as_a_consumer_does(emulators, service, tmp_path):
    with Exporter(tmp_path, emulators, emulators.secret) as exporter:
        measured = exporter.probe(service.url)
        assert (measured["probe_success"], measured["probe_http_status_code"]) == (1, 200)
        assert service.metric("shoutback_auth_total", outcome="accepted") == 1
        # The token is reused, and the response is cached.
        assert exporter.probe(service.url)["probe_success"] == 1
        assert service.metric("shoutback_shouts_total", source="cache") == 1


def test_it_fails_without_a_token(emulators, service, tmp_path):
    with Exporter(tmp_path, emulators, "wrong") as exporter:
        assert exporter.probe(service.url)["probe_success"] == 0


def test_it_fails_without_the_service(emulators, service, tmp_path):
    with Exporter(tmp_path, emulators, emulators.secret) as exporter:
        service.child.kill()
        service.child.wait()
        assert exporter.probe(service.url)["probe_success"] == 0


def test_it_fails_if_consumers_are_rejected(emulators, tmp_path):
    """A client that is not configured gets 401."""
    variables = emulators.authentication() | {"COGNITO_CLIENT_IDS": "another"}
    url = f"http://{emulators.shoutcloud}/V1/SHOUT"
    with Shoutback(tmp_path / "service.log", SHOUTCLOUD_URL=url, **variables) as service:
        with Exporter(tmp_path, emulators, emulators.secret) as exporter:
            measured = exporter.probe(service.url)
            assert (measured["probe_success"], measured["probe_http_status_code"]) == (0, 401)
