"""Autoscaling is turned on for a release that runs: the way of the chart's README keeps its replicas, and the direct one does not."""

import re

import pytest
from chart import CHART, NAMESPACE, deployment, names, wait_until_empty, values_of

NAME = "shoutback-handover"
REPLICAS = 2


@pytest.fixture
def cluster(clusters):
    """With a release without autoscaling, in the quota of staging."""
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
    """The number of replicas right after the upgrade, before anybody else has had a say."""
    helm(cluster, "upgrade", "--set=autoscaling.enabled=true", f"--set=autoscaling.minReplicas={REPLICAS}")
    found = deployment(cluster, NAME)
    assert NAME in names(cluster.api.get(f"/apis/autoscaling/v2/namespaces/{NAMESPACE}/horizontalpodautoscalers")["items"])
    return found["spec"]["replicas"]


def handed_over(cluster):
    """What the README says, with this release's name."""
    [lines] = re.findall(r"^```console\n(\$ kubectl .*?--field-manager=autoscaling.*?)^```", (CHART / "README.md").read_text(), re.M | re.S)
    script = lines.removeprefix("$ ").replace("name: shoutback", f"name: {NAME}").replace("replicas: 3", f"replicas: {REPLICAS}")
    cluster.run("bash", "-euc", script)


def test_its_replicas_are_kept_if_they_are_handed_over(cluster):
    handed_over(cluster)
    assert autoscaled(cluster) == REPLICAS


def test_they_are_lost_if_they_are_not(cluster):
    """Else what the README asks for could be left out."""
    assert autoscaled(cluster) == 1
