"""Enables autoscaling for a running release: the procedure of the chart's README preserves the replicas, a direct upgrade does not."""

import re

import pytest
from chart import CHART, NAMESPACE, deployment, names, wait_until_empty, values_of

NAME = "shoutback-handover"
REPLICAS = 2


@pytest.fixture
def cluster(clusters):
    """Yields a cluster with a release without autoscaling, in the quota of staging."""
    cluster = clusters["staging"]
    helm(cluster, "install")
    yield cluster
    cluster.run("helm", "uninstall", NAME, f"--namespace={NAMESPACE}")
    wait_until_empty(cluster)


def helm(cluster, command, *flags):
    off = [f"--set={switch}.enabled=false" for switch in ("serviceMonitor", "prometheusRule", "dashboards", "ingress", "filebeat")]
    named = f"--set=replicaCount={REPLICAS},fullnameOverride={NAME}"
    cluster.run("helm", command, NAME, CHART, f"--namespace={NAMESPACE}", *values_of("staging"), *off, named, *flags)


def autoscaled(cluster):
    """Returns the number of replicas right after the upgrade, before the autoscaler acts."""
    helm(cluster, "upgrade", "--set=autoscaling.enabled=true", f"--set=autoscaling.minReplicas={REPLICAS}")
    found = deployment(cluster, NAME)
    assert NAME in names(cluster.api.get(f"/apis/autoscaling/v2/namespaces/{NAMESPACE}/horizontalpodautoscalers")["items"])
    return found["spec"]["replicas"]


def handed_over(cluster):
    """Runs the command of the README with this release's name."""
    [lines] = re.findall(r"^```console\n(\$ kubectl .*?--field-manager=autoscaling.*?)^```", (CHART / "README.md").read_text(), re.M | re.S)
    script = lines.removeprefix("$ ").replace("name: shoutback", f"name: {NAME}").replace("replicas: 3", f"replicas: {REPLICAS}")
    cluster.run("bash", "-euc", script)


def test_replicas_are_preserved_by_a_handover(cluster):
    handed_over(cluster)
    assert autoscaled(cluster) == REPLICAS


def test_replicas_are_lost_without_a_handover(cluster):
    """Otherwise the step in the README would be superfluous."""
    assert autoscaled(cluster) == 1
