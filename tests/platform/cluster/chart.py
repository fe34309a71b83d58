"""Renderings of the chart, and their state in a control plane."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import yaml

from harness.kubernetes import conditions, documents, service_account
from harness.process import ENVIRONMENT

CHART = Path("helm/shoutback")
RELEASE = NAMESPACE = "shoutback"
DEPLOYER = service_account(NAMESPACE, "deployer")
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"


def values_of(environment):
    """Returns the flags with the values of a deployment; placeholders have test values."""
    return [f"--values={path}" for path in (f"gitops/service/{environment}/values.yaml", "tests/platform/filled-values.yaml")]


# By name: the environment of the cluster, and Helm's flags.
RENDERINGS = {environment: (environment, values_of(environment)) for environment in ("staging", "production")}
RENDERINGS |= {
    # Production has the larger quota. The namespace permits 1 GiB per container, and the chart computes the limit from these variables.
    path.name.removesuffix("-values.yaml"): ("production", [f"--values={path}", "--set=config.MAX_REQUESTS_IN_FLIGHT=2000,config.MAX_CONNECTIONS=10000"])
    for path in sorted(CHART.glob("ci/*-values.yaml"))
}


@dataclass
class Rendering:
    objects: list
    hooks: list

    def of_kind(self, *kinds):
        return [thing for thing in self.objects if thing["kind"] in kinds]

    @property
    def deployment(self):
        [deployment] = self.of_kind("Deployment")
        return deployment


def render(flags):
    command = ["helm", "template", RELEASE, CHART, f"--namespace={NAMESPACE}", *flags]
    result = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    things = [thing for thing in yaml.load_all(result.stdout, yaml.CSafeLoader) if thing]
    for thing in things:
        thing["metadata"].setdefault("namespace", NAMESPACE)
    hooks = [thing for thing in things if "helm.sh/hook" in thing["metadata"].get("annotations", {})]
    return Rendering([thing for thing in things if thing not in hooks], hooks)


def deployment(cluster, name=RELEASE):
    return cluster.api.get(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{name}")


def rolled_out(cluster, name=RELEASE, least=1, counted="availableReplicas"):
    """Waits until all replicas have the newest template, at least `least` of them. Returns the deployment."""

    def complete():
        found = deployment(cluster, name)
        status, replicas = found["status"], found["spec"]["replicas"]
        counts = [status.get(count, 0) for count in ("replicas", "updatedReplicas", counted)]
        observed = status.get("observedGeneration") == found["metadata"]["generation"]
        return found if observed and replicas >= least and counts == [replicas] * 3 else None

    return cluster.controllers.until(f"{name} is rolled out", complete, within=120)


def selector(found):
    """Returns a label selector as a query parameter."""
    assert not found.get("matchExpressions"), found
    return ",".join(f"{label}={value}" for label, value in sorted(found["matchLabels"].items()))


def pods(cluster, labels):
    return cluster.api.get(PODS, labelSelector=labels)["items"]


def names(things):
    return {thing["metadata"]["name"] for thing in things}


def ready(pod):
    return "Ready" in conditions(pod) and "deletionTimestamp" not in pod["metadata"]


def wait_until_empty(cluster):
    """Waits until the namespace has no pods and its quota counts none."""

    def empty():
        [quota] = cluster.api.get(f"/api/v1/namespaces/{NAMESPACE}/resourcequotas")["items"]
        return not cluster.api.get(PODS)["items"] and quota["status"]["used"]["pods"] == "0"

    cluster.controllers.until("all pods are deleted", empty, within=120)


def refusals(cluster, deployment):
    """Returns the messages of events about pods that could not be created."""
    events = cluster.api.get(f"/api/v1/namespaces/{NAMESPACE}/events", fieldSelector="reason=FailedCreate")["items"]
    owner = re.compile(re.escape(deployment) + "-[a-z0-9]+")
    return [event["message"] for event in events if owner.fullmatch(event["involvedObject"]["name"])]


def create_prerequisites(cluster, things):
    """Creates objects that pods refer to and that only the cluster's operator creates."""
    for thing in things:
        name = thing["spec"]["template"]["spec"].get("priorityClassName") if thing["kind"] == "Deployment" else None
        if name:
            priority = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}, "value": 1000}
            if cluster.api.call("GET", f"/apis/scheduling.k8s.io/v1/priorityclasses/{name}").status == 404:
                cluster.apply([priority])


def apply_as_deployer(cluster, things, subject=DEPLOYER):
    """Applies objects as the deployer does; a warning is a failure."""
    create_prerequisites(cluster, things)
    applied = cluster.apply(things, "--warnings-as-errors", subject=subject)
    assert not applied.stderr
    assert len(applied.stdout.splitlines()) == len(things), applied.stdout


def delete(cluster, things, subject=DEPLOYER):
    """Deletes objects and waits until their pods are deleted."""
    removed = cluster.kubectl("delete", "--wait=false", "--filename=-", subject=subject, stdin=documents(things))
    assert len(removed.stdout.splitlines()) == len(things), removed.stdout
    wait_until_empty(cluster)
