"""The API server admits every rendering of the chart from the deployer, and rejects invalid objects."""

import copy
import math
import re

import pytest
from chart import (
    DEPLOYER,
    NAMESPACE,
    PODS,
    RENDERINGS,
    apply_as_deployer,
    pods,
    refusals,
    render,
    rolled_out,
    selector,
    delete,
    values_of,
)


@pytest.fixture(params=RENDERINGS)
def rendering(request):
    return render(RENDERINGS[request.param][1])


@pytest.fixture
def chosen(clusters, request):
    """Returns the cluster for the rendering."""
    return clusters[RENDERINGS[request.node.callspec.params["rendering"]][0]]


def touched(things):
    """Returns the objects with one more annotation each: an upgrade of all of them."""
    things = copy.deepcopy(things)
    for thing in things:
        thing["metadata"].setdefault("annotations", {})["test"] = "touched"
    return things


def test_the_deployer_installs_upgrades_and_removes_it(chosen, rendering):
    """There is no warning, and the namespace's Pod Security, quota and limits admit all of its pods."""
    name = rendering.deployment["metadata"]["name"]
    least = [autoscaler["spec"]["minReplicas"] for autoscaler in rendering.of_kind("HorizontalPodAutoscaler")]
    replicas, = least or [rendering.deployment["spec"].get("replicas")]
    apply_as_deployer(chosen, rendering.objects)
    try:
        # Not available, which takes longer.
        found = rolled_out(chosen, name, *least, counted="readyReplicas")
        assert found["spec"]["replicas"] == replicas
        assert len(pods(chosen, selector(found["spec"]["selector"]))) == replicas
        assert not refusals(chosen, name)
        apply_as_deployer(chosen, touched(rendering.objects))
    finally:
        delete(chosen, rendering.objects)


def test_the_test_pod_is_admitted(clusters):
    """`helm test` creates it; Argo CD does not."""
    hooks = [hook for _, flags in RENDERINGS.values() for hook in render(flags).hooks]
    assert {hook["kind"] for hook in hooks} == {"Pod"}
    for hook in hooks:
        # Only the release creates its service account.
        hook["spec"]["serviceAccountName"] = "default"
        for cluster in clusters.values():
            assert not cluster.apply([hook], "--warnings-as-errors", "--dry-run=server").stderr


def rejected(cluster, things, *flags):
    """Returns the error with which the server rejects the objects."""
    result = cluster.apply(things, "--warnings-as-errors", "--dry-run=server", *flags, subject=DEPLOYER, check=False)
    assert result.returncode != 0, result.stdout
    return result.stderr


@pytest.fixture
def found(environment):
    return render(values_of(environment))


def container(found):
    return found.deployment["spec"]["template"]["spec"]["containers"][0]


def test_a_misspelt_field_is_rejected(cluster, found):
    container(found)["readinessProbs"] = container(found).pop("readinessProbe")
    assert 'containers[name="shoutback"].readinessProbs: field not declared in schema' in rejected(cluster, [found.deployment])


MUTATIONS = {
    "privileged": lambda found: container(found)["securityContext"].update(privileged=True, allowPrivilegeEscalation=True),
    "root": lambda found: container(found)["securityContext"].update(runAsUser=0),
    "capabilities": lambda found: container(found)["securityContext"].pop("capabilities"),
    "seccomp": lambda found: [
        context.pop("seccompProfile", None)
        for context in (container(found)["securityContext"], found.deployment["spec"]["template"]["spec"]["securityContext"])
    ],
    "host path": lambda found: found.deployment["spec"]["template"]["spec"]
    .setdefault("volumes", [])
    .append({"name": "root", "hostPath": {"path": "/"}}),
    "host network": lambda found: found.deployment["spec"]["template"]["spec"].update(hostNetwork=True),
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_pod_security_violations_are_rejected(cluster, found, mutation):
    """A Deployment only gets a warning, which therefore counts as an error; its pod is rejected."""
    MUTATIONS[mutation](found)
    assert "would violate PodSecurity" in rejected(cluster, [found.deployment])
    template = found.deployment["spec"]["template"]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "mutated", "labels": template["metadata"]["labels"]},
        "spec": template["spec"] | {"serviceAccountName": "default"},
    }
    response = cluster.api.call("POST", f"{PODS}?dryRun=All&fieldValidation=Strict", pod)
    assert response.status == 403 and 'violates PodSecurity "restricted:v1.36"' in response.json["message"]


def test_no_service_bypasses_the_ingress(cluster, found):
    for kind in ("LoadBalancer", "NodePort"):
        for service in found.of_kind("Service"):
            service["spec"] = {name: value for name, value in service["spec"].items() if name != "clusterIP"} | {"type": kind}
            assert "exceeded quota" in rejected(cluster, [service])


UNITS = {"": 1, "m": 1e-3, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}


def quantity(text):
    number, unit = re.fullmatch(r"([\d.]+)(\D*)", text).groups()
    return float(number) * UNITS[unit]


def quota(cluster, side):
    """Returns the limits (`hard`) or the usage (`used`) of the quota."""
    [found] = cluster.api.get(f"/api/v1/namespaces/{NAMESPACE}/resourcequotas")["items"]
    return {resource: quantity(amount) for resource, amount in found["status"][side].items()}


def charged(cluster, things, pods):
    """Returns the quota usage per pod of `pods` equal pods, including the namespace's defaults."""
    apply_as_deployer(cluster, things, subject=None)
    try:
        cluster.controllers.until("the quota counts the pods", lambda: quota(cluster, "used")["pods"] == pods)
        used = quota(cluster, "used")
    finally:
        delete(cluster, things, subject=None)
    return {resource: amount / pods for resource, amount in used.items() if resource.startswith(("pods", "requests.", "limits."))}


def most(found):
    """Returns the maximum number of pods: in a rolling update, while all replaced pods still drain."""
    autoscalers = found.of_kind("HorizontalPodAutoscaler")
    replicas = autoscalers[0]["spec"]["maxReplicas"] if autoscalers else found.deployment["spec"]["replicas"]
    surge = found.deployment["spec"]["strategy"]["rollingUpdate"]["maxSurge"]
    return 2 * replicas + (math.ceil(replicas * int(surge.rstrip("%")) / 100) if isinstance(surge, str) else surge)


def test_the_quota_suffices_for_a_rolling_update_at_maximum_scale(cluster, environment, found):
    """And for the test pod; but not for twice as much, or it would be too large to matter."""
    account = [thing for thing in found.objects if thing["kind"] == "ServiceAccount"]
    found.deployment["spec"]["replicas"] = 2
    replica = charged(cluster, [*account, found.deployment], 2)
    [hook, *_] = [hook for _, flags in RENDERINGS.values() for hook in render(flags).hooks]
    hook["spec"]["serviceAccountName"] = "default"
    test = charged(cluster, [hook], 1)
    need = {resource: most(found) * amount + test[resource] for resource, amount in replica.items()}
    assert {"pods", "requests.cpu", "requests.memory", "limits.memory"} <= need.keys()
    hard = quota(cluster, "hard")
    for resource, needed in need.items():
        assert needed <= hard[resource] <= 2 * needed, f"{resource}: {hard[resource]:g} for {needed:g}"
    # The cluster's CA certificate is a config map.
    assert len(found.of_kind("ConfigMap")) + 1 <= hard["configmaps"]
    assert len(found.of_kind("Service")) <= hard["services"]
