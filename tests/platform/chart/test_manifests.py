"""Validates every rendering by the schemas of its kinds, and the packaged chart."""

import json
import os
import subprocess
import tarfile
from pathlib import Path

import pytest
from rendering import ALL, CHART, CI, ENVIRONMENTS, EVERYTHING, SHORT, TOP

from harness.process import ENVIRONMENT

SCHEMAS = Path(os.environ["KUBECONFORM_SCHEMAS"])


def kubeconform(texts, directory):
    """Returns the errors in the objects of each text, by name; in one run, because loading the schemas takes a second."""
    for name, text in texts.items():
        (directory / f"{name}.yaml").write_text(text)
    command = [
        "kubeconform",
        "-strict",
        "-output=json",
        "-verbose",
        f"-schema-location={SCHEMAS}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json",
        f"-schema-location={SCHEMAS}/{{{{.ResourceKind}}}}-{{{{.Group}}}}-{{{{.ResourceAPIVersion}}}}.json",
        directory,
    ]
    resources = json.loads(subprocess.run(command, capture_output=True, text=True).stdout)["resources"]
    found = {name: [] for name in texts}
    for resource in resources:
        found[Path(resource["filename"]).stem].append(resource)
    return found


@pytest.fixture(scope="module")
def conformity(tmp_path_factory):
    return kubeconform({name: rendering.text for name, rendering in ALL.items()}, tmp_path_factory.mktemp("renderings"))


@pytest.mark.parametrize("name", ALL)
def test_each_object_is_valid(name, conformity):
    wrong = [resource for resource in conformity[name] if resource["status"] != "statusValid"]
    assert wrong == []
    assert len(conformity[name]) == len(ALL[name].objects)


def test_an_invalid_object_is_found(tmp_path):
    wrong = {
        "minReadySeconds: 5": "minReadySecond: 5",
        "minReplicas: 3": "minReplicas: three",
        "jobLabel:": "jobLabels:",
        "targetLabel: environment": "target: environment",
        "policyTypes: [Ingress, Egress]": "policyTypes: Ingress",
        "kind: ServiceMonitor": "kind: ServiceMonitors",
        "type: ClusterIP": "type: ClusterIP\n  type: ClusterIP",
    }
    texts = {}
    for number, (good, bad) in enumerate(wrong.items()):
        assert good in SHORT.text
        texts[str(number)] = SHORT.text.replace(good, bad)
    found = kubeconform(texts, tmp_path)
    for bad, resources in zip(wrong.values(), found.values(), strict=True):
        assert any(resource["status"] != "statusValid" for resource in resources), bad


@pytest.mark.parametrize("files", (CI | ENVIRONMENTS).values(), ids=CI | ENVIRONMENTS)
def test_helm_lint_finds_nothing(files):
    values = [part for path in files for part in ("--values", path)]
    result = subprocess.run(["helm", "lint", "--strict", CHART, *values], env=ENVIRONMENT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout
    assert "[WARNING]" not in result.stdout and "[ERROR]" not in result.stdout


def test_each_file_is_in_the_package(tmp_path):
    """Symbolic links are followed, so that a chart from a registry is complete."""
    subprocess.run(["helm", "package", CHART, "--destination", tmp_path], env=ENVIRONMENT, check=True, capture_output=True)
    [archive] = tmp_path.iterdir()
    with tarfile.open(archive) as packed:
        assert all(member.isfile() for member in packed)
        names = set(packed.getnames())
        for folder, source in (("rules", "prometheus/rules"), ("dashboards", "grafana/dashboards")):
            for path in (TOP / "observability" / source).iterdir():
                assert packed.extractfile(f"shoutback/files/{folder}/{path.name}").read() == path.read_bytes()
    assert not any(name.startswith("shoutback/ci/") for name in names)
    packaged = EVERYTHING.but(chart=archive)
    assert packaged.text == EVERYTHING.text
    result = subprocess.run(["helm", "show", "values", archive], env=ENVIRONMENT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == (CHART / "values.yaml").read_text().strip()


def test_app_version_is_the_version_of_the_service():
    assert f"appVersion: {version()}\n" in (CHART / "Chart.yaml").read_text()


def version():
    [line] = [line for line in (TOP / "Cargo.toml").read_text().splitlines() if line.startswith("version = ")]
    return line.split('"')[1]


def notes(rendering):
    """Returns the notes of a dry-run installation."""
    command = ["helm", "install", "shoutback", CHART, "--namespace", "shoutback", "--dry-run=client"]
    values = [part for path in rendering.files for part in ("--values", path)]
    result = subprocess.run([*command, *values], env=ENVIRONMENT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout.partition("NOTES:\n")[2]


class TestNotes:
    def test_they_show_how_to_send_a_request(self):
        assert "helm test shoutback" in notes(EVERYTHING)
        text = notes(ALL["production"])
        assert "kubectl -n shoutback port-forward service/shoutback 5000:80" in text
        assert "authorization: Bearer $TOKEN" in text
        assert "custom.metrics.k8s.io" in text
        assert "AUTH_MODE" not in text and "exports no traces" not in text

    def test_they_warn_of_open_access(self):
        text = notes(ALL["development"])
        assert "every client that reaches the service is accepted" in text and "networkPolicy is off" in text and "Bearer" not in text

    def test_they_name_what_is_missing(self):
        text = notes(ALL["minimal"])
        assert "`helm test` has nothing to run" in text and "The service exports no traces" in text
