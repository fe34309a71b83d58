"""Fixtures: staging's control plane and Argo CD, which reads a repository on disk with a branch of deployments."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import yaml

from harness.git import git
from harness.kubernetes import ControlPlane, Node
from harness.pages import blocks, matches, plain
from harness.process import ENVIRONMENT
from source import Source

from argocd import ArgoCD, Charts, Operators, crds

sys.path.append(str(Path(__file__).parents[1] / "gitops"))
VERSIONS = "gitops/platform/values.yaml"


class Origin(Source):
    """The repository, with staging's placeholders filled in and other addresses of charts and of itself."""

    def __init__(self, directory):
        super().__init__(directory, only=("gitops", "helm", "observability", "docs/configuration.md", "scripts/release"))
        self.applications = yaml.safe_load((self.work / VERSIONS).read_text())["applications"]
        self.number = 0

    def fill(self, charts, issuer):
        repositories = {application["repository"] for application in self.applications.values() if "repository" in application}
        values = VALUES | {"TOOLS_ISSUER": issuer}
        for path in self.work.glob("gitops/**/*.yaml"):
            text = path.read_text().replace("https://github.com/REPLACE_WITH_REPOSITORY.git", f"file://{self.bare}")
            for repository in repositories:
                text = text.replace(repository, charts)
            text = text.replace("requeueAfterSeconds: 60", "requeueAfterSeconds: 2").replace("duration: 10s", "duration: 1s")
            path.write_text(re.sub(r"REPLACE_WITH_([A-Z_]*[A-Z])", lambda name: values.get(name[1], "example.com"), text))
        # Argo CD's own manifests, which come from its repository.
        file = self.work / "gitops/platform/staging/argocd/kustomization.yaml"
        remote = re.search(r"https://github.com/argoproj/argo-cd//(manifests/\S+)\?ref=v(\S+)", file.read_text())
        assert f"-{remote[2]}-" in os.environ["ARGO_CD"], "the tested version is the installed one"
        shutil.copytree(Path(os.environ["ARGO_CD"]) / "manifests", file.parent / "manifests")
        file.write_text(file.read_text().replace(remote[0], remote[1]))
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
    "ARGOCD_CLIENT_ID": "3example23456789",
    "CLIENT_IDS": "1example23456789,2example23456789",
    "IMAGE_CACHE": "123456789012.dkr.ecr.eu-central-1.amazonaws.com",
    "PUBLIC_CLIENT_ID": "2example23456789",
    "REGION": "eu-central-1",
    "USER_POOL_ID": "eu-central-1_AbCdEfGhI",
    "GITHUB_APP_ID": "1234567",
    "GITHUB_INSTALLATION_ID": "7654321",
    "ZONE_ID": "Z0123456789ABCDEFGHIJ",
}

# The definitions that each add-on's chart installs, of those that something here uses.
DEFINITIONS = {
    "cert-manager": ["cert-manager/cert-manager.io_clusterissuers.yaml"],
    "eck-operator": [f"elastic/{kind}.k8s.elastic.co.yaml" for kind in ("elasticsearches.elasticsearch", "kibanas.kibana")],
    "kube-prometheus-stack": [f"prometheus-operator/monitoring.coreos.com_{kind}.yaml" for kind in ("podmonitors", "probes", "prometheusrules", "servicemonitors")],
}


@pytest.fixture(scope="session")
def origin(tmp_path_factory):
    return Origin(tmp_path_factory.mktemp("origin"))


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    nodes = {f"node-{zone}": Node(f"zone-{zone}", "32", "256Gi") for zone in "abc"}
    # EKS Auto Mode installs its own definitions.
    with ControlPlane(tmp_path_factory.mktemp("cluster"), [Path(__file__).parents[1] / "gitops/auto-mode.yaml"], nodes) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def operators(tmp_path_factory):
    with Operators(tmp_path_factory.mktemp("operators")) as operators:
        yield operators


PAGE = Path(__file__).parents[3] / "docs/deploy.md"


class Walk(contextlib.ExitStack):
    """A shell in a checkout, in which the commands of docs/deploy.md run. `aws` and `gh` are fakes: the one prints a client's secret, the
    other does what the workflow does."""

    PROGRAMS = {
        "aws": """printf '{"client_id": "1example23456789", "client_secret": "secret"}'""",
        "gh": """\
[ "$1 $2 $3" = "workflow run platform.yml" ] || exit 1
for field; do
    case $field in environment=*) environment=${field#*=} ;; commit=*) commit=${field#*=} ;; esac
done
exec scripts/release/deploy --platform "$environment" "$commit"
""",
    }

    def __init__(self, directory, origin, cluster):
        super().__init__()
        self.errors, self.ran = directory / "errors.log", []
        self.checkout = origin.run(git(origin.bare, "rev-parse", "main")).directory
        for name, text in {"alertmanager.yml": "{}", "tools-client-secret": "secret", "shoutback-argocd.private-key.pem": "key"}.items():
            (self.checkout / name).write_text(text)
        (self.checkout / "outputs.json").write_text(json.dumps({"cognito": {"value": {"machine_secret_name": "client"}}}))
        for name, text in self.PROGRAMS.items():
            (directory / name).write_text(f"#!/bin/sh\n{text}\n")
            (directory / name).chmod(0o755)
        # The pipeline's programs need HOME, which is that of kubectl.
        variables = ENVIRONMENT | cluster.variables | {"PATH": f"{directory}:{os.environ['PATH']}"}
        errors = self.enter_context(self.errors.open("w"))
        self.shell = self.enter_context(
            subprocess.Popen(["bash"], cwd=self.checkout, env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True)
        )
        self.callback(self.shell.stdin.close)

    def step(self, number, before=()):
        """Runs the commands of a step. `before` maps parts of a command to functions that are called before it."""
        section = re.search(rf"^## {number}\. .*?(?=^## )", PAGE.read_text(), re.DOTALL | re.MULTILINE)[0]
        for mark, commands in blocks(section):
            for command in commands if mark in ("*Run by a test:*", "*Run on a simulated cluster:*") else ():
                for part, prepare in dict(before).items():
                    if part in command.text:
                        prepare()
                printed, status = self.run(command.text)
                assert status == 0 and matches(plain(printed), command.prints), f"{command.text}: {status}\n{printed}\n{self.errors.read_text()}"
                self.ran.append(command.text)

    def run(self, text):
        self.shell.stdin.write(f"{text}\nstatus=$?; echo; echo === $status\n")
        self.shell.stdin.flush()
        printed = ""
        for line in self.shell.stdout:
            if line.startswith("=== "):
                return printed, int(line[4:])
            printed += line
        raise AssertionError(f"{text}: the shell ended\n{self.errors.read_text()}")


@pytest.fixture(scope="session")
def walk(tmp_path_factory, origin, cluster, operators):
    """Yields the commands of docs/deploy.md, which begin when the pipeline has recorded the first build of the service in step 8."""
    definitions = {name: crds(*files) for name, files in DEFINITIONS.items()}
    with Charts(tmp_path_factory.mktemp("charts"), origin.applications, definitions) as charts:
        origin.fill(charts.url, operators.issuer)
        origin.deploy("Install the service")
        with Walk(tmp_path_factory.mktemp("walk"), origin, cluster) as walk:
            yield walk


@pytest.fixture(scope="session")
def argocd(tmp_path_factory, cluster):
    with ArgoCD(tmp_path_factory.mktemp("argocd"), cluster) as argocd:
        yield argocd


CERTIFICATE = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "shoutback-es-http-certs-public"}, "stringData": {"ca.crt": "certificate"}}


class Controllers(threading.Thread):
    """In place of cert-manager, Elastic's operator, EKS Auto Mode and NGINX's controller: reports that issuer and node pool are ready, `health`
    as that of Elasticsearch, whose certificate it creates, and an address of the Ingress."""

    READY = {"type": "Ready", "status": "True", "reason": "Ready", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    PATHS = {
        "/apis/cert-manager.io/v1/clusterissuers/letsencrypt",
        "/apis/karpenter.sh/v1/nodepools/shoutback",
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
                if found.status == 200 and "elasticsearches" in path:
                    self.api.call("POST", "/api/v1/namespaces/logging/secrets", CERTIFICATE)
                if found.status == 200 and found.json.get("status") != (status := self.status(path)):
                    self.api.call("PATCH", f"{path}/status", {"status": status}, content_type="application/merge-patch+json")

    def status(self, path):
        if "ingresses" in path:
            return {"loadBalancer": {"ingress": [{"hostname": "balancer.example.com"}]}}
        if "clusterissuers" in path or "nodepools" in path:
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
def installed(walk, argocd, origin, controllers):
    """Returns the commits of the first platform and the first service, both deployed by the steps of docs/deploy.md."""
    commit = git(walk.checkout, "rev-parse", "HEAD")
    secret = "/api/v1/namespaces/logging/secrets/shoutback-es-http-certs-public"
    walk.step(9)
    walk.step(10)
    walk.step(
        11,
        {
            # Where its pods would start it.
            "rollout status deployment/argocd-server": argocd.start,
            "get secret shoutback-es-http-certs-public": lambda: argocd.until("Elasticsearch runs", lambda: argocd.api.call("GET", secret).status == 200),
        },
    )
    argocd.until_deployed("platform", commit, within=600)
    argocd.until_deployed("shoutback", commit)
    return commit, commit
