"""What the rules need of the platform: metrics, labels, history, and an Alertmanager with storage."""

import re

import pytest
import yaml
from shipped import OBSERVABILITY, alerts

PLATFORM = OBSERVABILITY.parent / "gitops/platform"
ENVIRONMENTS = ["staging", "production"]


def merged(one, other):
    both = {name: merged(one[name], other[name]) for name in one.keys() & other.keys() if isinstance(one[name], dict)}
    return one | other | both


def values(chart, environment):
    """Returns the values of a chart in an environment, as Helm merges them."""
    return merged(*(yaml.safe_load((PLATFORM / folder / f"{chart}.yaml").read_text()) for folder in ("values", environment)))


def specs(environment):
    stack = values("kube-prometheus-stack", environment)
    return stack["prometheus"]["prometheusSpec"], stack["alertmanager"]["alertmanagerSpec"]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_prometheus_and_alertmanager_keep_their_data(environment):
    prometheus, alertmanager = specs(environment)
    # Budgets are recorded over 30 days.
    assert int(prometheus["retention"].removesuffix("d")) > 30
    for claim in (prometheus["storageSpec"], alertmanager["storage"]):
        assert claim["volumeClaimTemplate"]["spec"]["resources"]["requests"]["storage"]


def test_production_has_two_of_each():
    stack = values("kube-prometheus-stack", "production")
    for name, spec in (("prometheus", "prometheusSpec"), ("alertmanager", "alertmanagerSpec")):
        assert stack[name][spec]["replicas"] == 2 and stack[name][spec]["podAntiAffinity"] == "hard"
        assert stack[name]["podDisruptionBudget"]["enabled"]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_alerts_have_the_environment_and_links_that_can_be_opened(environment):
    prometheus, alertmanager = specs(environment)
    assert prometheus["externalLabels"]["environment"] == environment
    assert all(spec["externalUrl"].startswith("https://{{ .Values.global.toolsHost }}/") for spec in (prometheus, alertmanager))
    # A placeholder, or an adopter's host.
    assert re.fullmatch(r"[\w.-]+", values("kube-prometheus-stack", environment)["global"]["toolsHost"])


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_nginx_exports_what_the_edge_objective_counts(environment):
    nginx = values("nginx-ingress", environment)
    assert nginx["controller"]["enableLatencyMetrics"] is True
    # The chart's defaults have the exporter.
    assert "prometheus" not in nginx
    monitors = (PLATFORM / "templates/monitoring.yaml").read_text().split("---")
    monitor, = (text for text in monitors if "kind: PodMonitor" in text and "name: nginx-ingress" in text)
    assert re.search(r"targetLabel: environment\s+replacement: \{\{ \.Values\.environment \}\}", monitor)


def test_the_limit_of_samples_is_the_collectors():
    collector = yaml.safe_load((OBSERVABILITY / "otel-collector/config.yaml").read_text())
    scrape, = collector["receivers"]["prometheus"]["config"]["scrape_configs"]
    rule, = (rule for rule in alerts() if rule["alert"] == "ShoutbackNearLimit")
    assert re.findall(r"scrape_samples_scraped\{[^}]*\} / (\d+)", rule["expr"]) == [str(scrape["sample_limit"])]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_links_to_traces_lead_to_where_the_collector_sends_them(environment):
    collector = yaml.safe_load((PLATFORM / "otel-collector/values.yaml").read_text())
    assert collector["backend"]["endpoint"] == "", "not X-Ray alone"
    region = yaml.safe_load((PLATFORM / environment / "values.yaml").read_text())["cluster"]["region"]
    service = yaml.safe_load((PLATFORM.parent / "service" / environment / "values.yaml").read_text())
    console = f"https://{region}.console.aws.amazon.com/cloudwatch/home?region={region}#xray:traces"
    assert service["dashboards"]["tracesBaseUrl"] == console
