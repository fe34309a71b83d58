"""Fixtures: staging's control plane and Argo CD, which reads a repository on disk with a branch of deployments."""

import os
import re
import sys
import threading
from pathlib import Path

import pytest
import yaml

from harness.git import git
from harness.kubernetes import ControlPlane, Node
from source import Source

from argocd import ArgoCD, Charts

sys.path.append(str(Path(__file__).parents[1] / "gitops"))
VERSIONS = "gitops/platform/values.yaml"
SETTINGS = "gitops/platform/argocd-settings"
PLATFORM = "gitops/platform/staging/values.yaml"


class Origin(Source):
    """The repository, with staging's placeholders filled in and other addresses of charts and of itself."""

    def __init__(self, directory):
        super().__init__(directory, only=("gitops", "helm", "observability", "docs/configuration.md", "scripts/release"))
        self.applications = yaml.safe_load((self.work / VERSIONS).read_text())["applications"]
        self.number = 0

    def fill(self, charts):
        repositories = {application["repository"] for application in self.applications.values() if "repository" in application}
        for path in self.work.glob("gitops/**/*.yaml"):
            text = path.read_text().replace("https://github.com/REPLACE_WITH_REPOSITORY.git", f"file://{self.bare}")
            for repository in repositories:
                text = text.replace(repository, charts)
            text = text.replace("requeueAfterSeconds: 60", "requeueAfterSeconds: 2")
            path.write_text(re.sub(r"REPLACE_WITH_([A-Z_]*[A-Z])", lambda name: VALUES.get(name[1], "example.com"), text))
        # Argo CD runs beside the cluster.
        (self.work / "gitops/platform/staging/argocd/kustomization.yaml").write_text("resources: [nothing.yaml]\n")
        nothing = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "nothing", "namespace": "argocd"}}
        (self.work / "gitops/platform/staging/argocd/nothing.yaml").write_text(yaml.safe_dump(nothing))
        return self.commit("Fill in the placeholders")

    def deploy(self, title, changes=None, platform=False):
        """Merges changes and deploys them to staging, as the pipeline does. Returns the commit of main and that of the deployment."""
        commit = self.merge(title, changes)
        self.number += 1
        what = ["--platform", "staging", commit] if platform else ["staging", commit, f"sha256:{self.number:064x}"]
        return commit, self.run(commit).prints("deploy", *what)

    def release(self, program, *arguments):
        """Runs a program of the pipeline in a checkout of main."""
        return self.run(git(self.bare, "rev-parse", "main")).prints(program, *arguments, PATH=os.environ["PATH"])


VALUES = {
    "ACCOUNT_ID": "123456789012",
    "CLIENT_IDS": "1example23456789,2example23456789",
    "IMAGE_CACHE": "123456789012.dkr.ecr.eu-central-1.amazonaws.com",
    "PUBLIC_CLIENT_ID": "2example23456789",
    "REGION": "eu-central-1",
    "TOOLS_ISSUER": "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Operators",
    "USER_POOL_ID": "eu-central-1_AbCdEfGhI",
    "GITHUB_APP_ID": "1234567",
    "GITHUB_INSTALLATION_ID": "7654321",
    "ZONE_ID": "Z0123456789ABCDEFGHIJ",
}

CRDS = [
    Path(os.environ["CRDS"]) / name
    for name in (
        "argo-cd",
        "cert-manager/cert-manager.io_clusterissuers.yaml",
        "elastic/elasticsearches.elasticsearch.k8s.elastic.co.yaml",
        "elastic/kibanas.kibana.k8s.elastic.co.yaml",
        "prometheus-operator/monitoring.coreos.com_podmonitors.yaml",
        "prometheus-operator/monitoring.coreos.com_probes.yaml",
        "prometheus-operator/monitoring.coreos.com_prometheusrules.yaml",
        "prometheus-operator/monitoring.coreos.com_servicemonitors.yaml",
    )
] + [Path(__file__).parents[1] / "gitops/auto-mode.yaml"]


@pytest.fixture(scope="session")
def origin(tmp_path_factory):
    return Origin(tmp_path_factory.mktemp("origin"))


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    nodes = {f"node-{zone}": Node(f"zone-{zone}", "32", "256Gi") for zone in "abc"}
    with ControlPlane(tmp_path_factory.mktemp("cluster"), CRDS, nodes) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def argocd(tmp_path_factory, origin, cluster):
    """Yields an Argo CD that was set up as docs/deploy.md says, and follows an empty branch of deployments."""
    with Charts(tmp_path_factory.mktemp("charts"), origin.applications) as charts:
        origin.fill(charts.url)
        rendered = cluster.run("helm", "template", "argocd-settings", origin.work / SETTINGS, "--namespace=argocd", f"--values={origin.work / PLATFORM}")
        with ArgoCD(tmp_path_factory.mktemp("argocd"), cluster) as argocd:
            argocd.prepare([thing for thing in yaml.safe_load_all(rendered.stdout) if thing])
            yield argocd.start()


class Controllers(threading.Thread):
    """In place of cert-manager, Elastic's operator and NGINX's controller: reports that the issuer is ready, `health` as that of
    Elasticsearch, and an address of the Ingress."""

    READY = {"type": "Ready", "status": "True", "reason": "ACMEAccountRegistered", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    PATHS = {
        "/apis/cert-manager.io/v1/clusterissuers/letsencrypt",
        "/apis/elasticsearch.k8s.elastic.co/v1/namespaces/logging/elasticsearches/shoutback",
        "/apis/kibana.k8s.elastic.co/v1/namespaces/logging/kibanas/shoutback",
        "/apis/networking.k8s.io/v1/namespaces/shoutback/ingresses/shoutback",
    }

    def __init__(self, api):
        super().__init__(daemon=True)
        self.api, self.health, self.ended = api, "green", threading.Event()

    def run(self):
        while not self.ended.wait(0.3):
            for path in self.PATHS:
                found = self.api.call("GET", path)
                if found.status == 200 and found.json.get("status") != (status := self.status(path)):
                    self.api.call("PATCH", f"{path}/status", {"status": status}, content_type="application/merge-patch+json")

    def status(self, path):
        if "ingresses" in path:
            return {"loadBalancer": {"ingress": [{"hostname": "balancer.example.com"}]}}
        if "clusterissuers" in path:
            return {"conditions": [self.READY]}
        return {"health": "green"} if "kibanas" in path else {"availableNodes": 1, "health": self.health, "phase": "Ready"}

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.join()


@pytest.fixture(scope="session")
def controllers(cluster):
    with Controllers(cluster.api) as controllers:
        yield controllers


@pytest.fixture(scope="session")
def installed(argocd, origin, controllers):
    """Returns the commits of the first platform and the first service, both deployed."""
    platform, _ = origin.deploy("Install the platform", platform=True)
    argocd.until_deployed("platform", platform, within=600)
    service, _ = origin.deploy("Install the service")
    argocd.until_deployed("shoutback", service)
    return platform, service
