"""The rules and dashboards of observability/, as Prometheus' operator and Grafana's sidecar discover them."""

import json
import subprocess

import pytest
import yaml
from rendering import ALL, EVERYTHING, MINIMAL, TOP, ci, matches

RULES = sorted((TOP / "observability/prometheus/rules").glob("*.yaml"))
DASHBOARDS = sorted((TOP / "observability/grafana/dashboards").glob("*.json"))
MONITORED = {name: rendering for name, rendering in ALL.items() if name in ("everything", "staging", "production")}


@pytest.fixture(params=MONITORED)
def rendering(request):
    return MONITORED[request.param]


def address(rendering, *path, default=None):
    for file in reversed(rendering.files):
        values = yaml.safe_load(file.read_text())
        for name in path:
            values = values.get(name, {})
        if values:
            return values
    assert default is not None, f"{path} is not set"
    return default


class TestRules:
    def test_they_equal_the_files(self, rendering):
        url = address(rendering, "prometheusRule", "runbookBaseUrl")
        grafana = address(rendering, "prometheusRule", "grafanaBaseUrl", default="")
        rendered = {
            rule["metadata"]["name"].removeprefix(rendering.deployment["metadata"]["name"] + "-"): rule
            for rule in rendering.of_kind("PrometheusRule")
        }
        assert set(rendered) == {path.stem for path in RULES}
        for path in RULES:
            assert "RUNBOOK_BASE_URL" in path.read_text() or path.stem == "slo-recording"
            text = path.read_text().replace("RUNBOOK_BASE_URL", url).replace("GRAFANA_BASE_URL", grafana)
            assert rendered[path.stem]["spec"] == yaml.safe_load(text)

    def test_prometheus_accepts_them(self, rendering, tmp_path):
        for rule in rendering.of_kind("PrometheusRule"):
            (tmp_path / f"{rule['metadata']['name']}.yaml").write_text(yaml.safe_dump(rule["spec"]))
        files = sorted(tmp_path.iterdir())
        assert len(files) == len(RULES)
        result = subprocess.run(
            ["promtool", "check", "rules", "--lint=all", "--lint-fatal", *files], capture_output=True, text=True
        )
        assert result.returncode == 0, result.stdout + result.stderr

    def test_the_operator_finds_them(self, rendering):
        for rule in rendering.of_kind("PrometheusRule"):
            assert rule["metadata"]["labels"]["release"] == "kube-prometheus-stack"

    def test_the_alerts_keep_their_templates(self):
        assert "{{ $labels.environment }}" in EVERYTHING.text


class TestDashboards:
    def test_they_equal_the_files(self, rendering):
        rendered = {}
        for config in rendering.of_kind("ConfigMap"):
            if config["metadata"]["labels"]["app.kubernetes.io/component"] == "dashboard":
                rendered |= config["data"]
        assert set(rendered) == {path.name for path in DASHBOARDS}
        for path in DASHBOARDS:
            text = path.read_text().replace("KIBANA_BASE_URL", address(rendering, "dashboards", "kibanaBaseUrl"))
            text = text.replace("TRACES_BASE_URL", address(rendering, "dashboards", "tracesBaseUrl"))
            assert json.loads(rendered[path.name]) == json.loads(text)
            assert "_BASE_URL" not in rendered[path.name]

    def test_grafanas_sidecar_finds_them(self, rendering):
        found = [c for c in rendering.of_kind("ConfigMap") if c["metadata"]["labels"].get("grafana_dashboard") == "1"]
        assert len(found) == len(DASHBOARDS)
        assert all(config["metadata"]["annotations"] == {"grafana_folder": "Shoutback"} for config in found)

    def test_each_fits_into_an_annotation(self, rendering):
        """Argo CD stores what it applied in one, and the API server's limit is 256 KiB."""
        assert all(len(json.dumps(thing)) < 250_000 for thing in rendering.objects)


class TestScraping:
    def monitored(self, rendering):
        monitor = rendering.one("ServiceMonitor")
        assert monitor["spec"]["namespaceSelector"] == {"matchNames": [rendering.namespace]}
        return [s for s in rendering.of_kind("Service") if matches(monitor["spec"]["selector"], s["metadata"]["labels"])]

    def test_the_admin_service_is_selected_and_no_other(self, rendering):
        assert self.monitored(rendering) == [rendering.service("admin")]

    def test_its_port_targets_the_admin_port_of_the_replicas(self, rendering):
        [endpoint] = rendering.one("ServiceMonitor")["spec"]["endpoints"]
        [service] = self.monitored(rendering)
        [port] = [port for port in service["spec"]["ports"] if port["name"] == endpoint["port"]]
        assert matches({"matchLabels": service["spec"]["selector"]}, rendering.pod["metadata"]["labels"])
        ports = {port["name"]: port["containerPort"] for port in rendering.container["ports"]}
        assert f"0.0.0.0:{ports[port['targetPort']]}" == rendering.variables()["ADMIN_ADDR"]

    def test_the_job_is_that_of_the_rules(self, rendering):
        label = rendering.one("ServiceMonitor")["spec"]["jobLabel"]
        job = rendering.service("admin")["metadata"]["labels"][label]
        assert any(f'up{{job="{job}"}}' in path.read_text() for path in RULES)

    def test_the_environment_is_that_of_the_service(self, rendering):
        [endpoint] = rendering.one("ServiceMonitor")["spec"]["endpoints"]
        [relabelling] = endpoint["relabelings"]
        assert relabelling["targetLabel"] == "environment"
        assert f"deployment.environment.name={relabelling['replacement']}" in rendering.variables()["OTEL_RESOURCE_ATTRIBUTES"]

    def test_the_collector_finds_the_replicas(self, rendering):
        """observability/otel-collector/config.yaml discovers pods."""
        config = (TOP / "observability/otel-collector/config.yaml").read_text()
        assert f"label: app.kubernetes.io/name={rendering.pod['metadata']['labels']['app.kubernetes.io/name']}\n" in config
        assert "regex: admin\n" in config
        ports = [port for container in rendering.containers() for port in container.get("ports", []) if port["name"] == "admin"]
        assert len(ports) == 1


def test_it_is_off_by_default():
    assert MINIMAL.of_kind("ServiceMonitor", "PrometheusRule") == []
    assert "grafana_dashboard" not in MINIMAL.text
    # So the custom resource definitions of the operator need not be installed.
    assert {thing["apiVersion"] for thing in ci("development").objects} <= {"v1", "apps/v1"}
