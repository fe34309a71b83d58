"""Fixtures: one control plane per environment and process, with the environment's manifests applied."""

import contextlib
import os
import subprocess
from pathlib import Path

import pytest
import yaml

from harness.kubernetes import ControlPlane, Node

ENVIRONMENTS = ["staging", "production"]
# Only those kinds of the operator that the chart has: the others are large and take time until they are served.
CRDS = [
    Path(os.environ["CRDS"]) / name
    for name in (
        "argo-cd/application-crd.yaml",
        "argo-cd/appproject-crd.yaml",
        "cert-manager",
        "gateway-api",
        "prometheus-operator/monitoring.coreos.com_prometheusrules.yaml",
        "prometheus-operator/monitoring.coreos.com_servicemonitors.yaml",
    )
]
# Three zones with two nodes each. One zone has far more capacity, so that pods without constraints are scheduled there.
SIZES = {"a": ("64", "256Gi"), "b": ("4", "8Gi"), "c": ("4", "8Gi")}
NODES = {f"node-{zone}{number}": Node(f"zone-{zone}", *size) for zone, size in SIZES.items() for number in (1, 2)}


def manifests(environment):
    """Returns the environment's manifests, as kustomize builds them."""
    rendered = subprocess.run(["kubectl", "kustomize", f"gitops/platform/{environment}/cluster"], check=True, capture_output=True, text=True)
    return list(yaml.safe_load_all(rendered.stdout))


class Clusters(dict):
    """The control planes by environment; each is started at its first use."""

    def __init__(self, directory):
        super().__init__()
        self.directory, self.stack = directory, contextlib.ExitStack()

    def __missing__(self, environment):
        cluster = self.stack.enter_context(ControlPlane(self.directory / environment, CRDS, NODES))
        cluster.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "argocd"}}])
        cluster.apply(manifests(environment))
        self[environment] = cluster
        return cluster


@pytest.fixture(scope="session")
def clusters(tmp_path_factory):
    clusters = Clusters(tmp_path_factory.mktemp("clusters"))
    with clusters.stack:
        yield clusters


@pytest.fixture(params=ENVIRONMENTS)
def environment(request):
    return request.param


@pytest.fixture
def cluster(clusters, environment):
    return clusters[environment]
