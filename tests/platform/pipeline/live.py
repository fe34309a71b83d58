"""Argo CD for both environments of the dry run: its controllers, a control plane of each environment, and the service's objects in it are real.

In place of nodes, `Kubelet` runs the pods of the service as containers of this machine and reports their state. Not there: the platform's
add-ons, of which only the namespace and its permissions are applied, and autoscaling, which needs one of them.
"""

import contextlib
import re
import subprocess
import sys
import threading
import traceback
from datetime import datetime, timezone

import yaml

from harness.git import git
from harness.kubernetes import ControlPlane
from harness.process import ENVIRONMENT

from git_server import GitServer
from source import ROOT

sys.path.append(str(ROOT / "tests/platform/gitops-live"))
from argocd import ArgoCD, crds  # noqa: E402

NEEDED = ["argo-cd", "prometheus-operator/monitoring.coreos.com_prometheusrules.yaml", "prometheus-operator/monitoring.coreos.com_servicemonitors.yaml"]

FILLED = {
    "CLIENT_IDS": "1example23456789,2example23456789",
    "GITHUB_APP_ID": "1234567",
    "GITHUB_INSTALLATION_ID": "7654321",
    "PUBLIC_CLIENT_ID": "2example23456789",
    "TOOLS_ISSUER": "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Operators",
    "USER_POOL_ID": "eu-central-1_AbCdEfGhI",
}
IMAGE = "REPLACE_WITH_ACCOUNT_ID.dkr.ecr.REPLACE_WITH_REGION.amazonaws.com/shoutback"

# Variables that name addresses of a cluster, instead of which the environment has those of this machine.
ELSEWHERE = "ADMIN_ADDR|COGNITO_|DOCS_|HTTP_ADDR|OTEL_"

PODS = "/api/v1/namespaces/shoutback/pods"
SET = "/apis/argoproj.io/v1alpha1/namespaces/argocd/applicationsets/service"
INGRESS = "/apis/networking.k8s.io/v1/namespaces/shoutback/ingresses/shoutback"


class LiveClusters(contextlib.ExitStack):
    """Argo CD and a control plane per environment, until the end of the `with` block."""

    def __init__(self, directory, source, github, containers, repository, environments, log):
        super().__init__()
        with contextlib.ExitStack() as starting:
            starting.push(self)
            server = self.enter_context(GitServer(source.directory))
            fill(source, server.url, repository)
            for name, environment in environments.items():
                self.start(directory / name, name, environment, source, github, containers, log)
            starting.pop_all()

    def start(self, directory, name, environment, source, github, containers, log):
        directory.mkdir()
        cluster = self.enter_context(ControlPlane(directory / "cluster", crds(*NEEDED)))
        for folder in ("namespace", "teams"):
            cluster.kubectl("apply", "--server-side", "--filename", source.work / "gitops/platform/cluster" / folder)
        values = source.work / f"gitops/platform/{name}/values.yaml"
        rendered = cluster.run("helm", "template", "argocd-settings", source.work / "gitops/platform/argocd-settings", "--namespace=argocd", f"--values={values}").stdout
        # Sooner than a minute, and GitHub's address.
        rendered = rendered.replace("requeueAfterSeconds: 60", "requeueAfterSeconds: 2")
        rendered = rendered.replace("privateKey: $github-privateKey", f"privateKey: $github-privateKey\n    enterpriseBaseURL: {github.url}/api/v3")
        (directory / "argocd").mkdir()
        argocd = self.enter_context(ArgoCD(directory / "argocd", cluster))
        argocd.prepare([thing for thing in yaml.safe_load_all(rendered) if thing])
        key = subprocess.run(["openssl", "genrsa", "-traditional", "2048"], env=ENVIRONMENT, check=True, capture_output=True, text=True).stdout
        secret = {"name": "argocd-notifications-secret", "namespace": "argocd", "labels": {"app.kubernetes.io/part-of": "argocd"}}
        cluster.apply([{"apiVersion": "v1", "kind": "Secret", "metadata": secret, "stringData": {"github-privateKey": key}}])
        argocd.start(with_server=False)
        argocd.notify()
        self.enter_context(Kubelet(cluster.api, source, environment, containers, log))


def fill(source, url, repository):
    """Fills in the placeholders, with this machine's repository and registry."""

    def filled(text):
        text = text.replace("https://github.com/REPLACE_WITH_REPOSITORY.git", url).replace(IMAGE, repository)
        return re.sub(r"REPLACE_WITH_([A-Z_]*[A-Z])", lambda name: FILLED.get(name[1], "example.com"), text)

    names = [path.relative_to(source.work) for path in source.work.glob("gitops/**/*.yaml")]
    source.merge("Fill in the placeholders", {str(name): filled for name in names})
    # The tests measure no load, so one replica suffices.
    smaller = {
        "gitops/service/staging/values.yaml": lambda text: text.replace("replicaCount: 2", "replicaCount: 1"),
        "gitops/service/production/values.yaml": lambda text: re.sub(r"autoscaling:\n  enabled: true\n", "replicaCount: 1\nautoscaling:\n  enabled: false\n", text),
    }
    source.merge("Use one replica", smaller)


class Kubelet(threading.Thread):
    """Runs each pod of the service as a container, and the ingress as the relay in front of the newest one that is ready."""

    def __init__(self, api, source, environment, containers, log):
        super().__init__()
        self.api, self.source, self.environment, self.containers, self.log = api, source, environment, containers, log
        self.running, self.refreshed, self.ended = {}, False, threading.Event()

    def run(self):
        while not self.ended.wait(0.2):
            try:
                self.look()
            except Exception:
                self.log(traceback.format_exc())

    def look(self):
        self.refresh()
        pods = {pod["metadata"]["name"]: pod for pod in self.api.get(PODS)["items"] if not pod["metadata"].get("deletionTimestamp")}
        for name in self.running.keys() - pods.keys():
            self.environment.stop(self.running.pop(name))
        for name in sorted(pods.keys() - self.running.keys(), key=lambda name: pods[name]["metadata"]["creationTimestamp"]):
            self.start_pod(name, pods[name])
        ingress = self.api.call("GET", INGRESS)
        if ingress.status == 200 and not ingress.json.get("status", {}).get("loadBalancer"):
            self.patch(INGRESS, {"loadBalancer": {"ingress": [{"ip": self.environment.relay.address.partition(":")[0]}]}})

    def refresh(self):
        """Once the branch of deployments exists: otherwise Argo CD tries again only after three minutes."""
        branch = f"refs/heads/deploy/{self.environment.name}"
        if not self.refreshed and git(self.source.bare, "rev-parse", "--quiet", "--verify", branch, succeeds=False):
            body = {"metadata": {"annotations": {"argocd.argoproj.io/application-set-refresh": "true"}}}
            self.refreshed = self.api.call("PATCH", SET, body, content_type="application/merge-patch+json").status == 200

    def start_pod(self, name, pod):
        [container] = [container for container in pod["spec"]["containers"] if container["name"] == "shoutback"]
        config = self.api.get("/api/v1/namespaces/shoutback/configmaps/shoutback")["data"]
        config = {name: value for name, value in config.items() if not re.match(ELSEWHERE, name)}
        # By its digest alone: podman takes no tag beside it.
        image = re.sub(r":[0-9a-f]{40}@", "@", container["image"])
        self.log(f"{self.environment.name}: Argo CD has deployed {container['image'].partition('@')[0][-40:][:12]}, and the pod {name} starts")
        try:
            self.running[name] = self.environment.start(self.containers, image, config)
            ready = True
        except Exception:
            self.log(traceback.format_exc())
            self.running[name], ready = None, False
        # Without a time a pod never counts as available.
        state_of = {"status": "True" if ready else "False", "lastTransitionTime": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")}
        conditions = [{"type": kind} | state_of for kind in ("Initialized", "ContainersReady", "Ready", "PodScheduled")]
        state = {"name": "shoutback", "image": container["image"], "imageID": image, "ready": ready, "restartCount": 0}
        state["state"] = {"running": {}} if ready else {"waiting": {"reason": "CrashLoopBackOff", "message": "it does not start"}}
        self.patch(f"{PODS}/{name}", {"phase": "Running", "conditions": conditions, "containerStatuses": [state]})

    def patch(self, path, status):
        response = self.api.call("PATCH", f"{path}/status", {"status": status}, content_type="application/merge-patch+json")
        assert response.status == 200, response.text

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.join()
