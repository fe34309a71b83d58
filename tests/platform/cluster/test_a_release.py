"""The lifecycle of a production release, in order: install, upgrade, rollback, node drain, operation by sre, removal."""

from dataclasses import dataclass

import pytest
from chart import (
    CHART,
    NAMESPACE,
    PODS,
    RELEASE,
    deployment,
    names,
    wait_until_empty,
    pods,
    ready,
    refusals,
    rolled_out,
    selector,
    values_of,
)
from conftest import NODES
from permissions import TEAMS

from harness.process import Process

BUDGET = f"/apis/policy/v1/namespaces/{NAMESPACE}/poddisruptionbudgets"
AUTOSCALER = f"/apis/autoscaling/v2/namespaces/{NAMESPACE}/horizontalpodautoscalers"
NAMESPACED = f"--namespace={NAMESPACE}"


@dataclass
class Rollout:
    """Observations while pods were replaced."""

    before: set
    fewest_ready: int
    replaced: bool
    deployment: dict


class Release:
    def __init__(self, cluster):
        self.cluster, self.api = cluster, cluster.api
        self.flags = values_of("production")

    def helm(self, command, *flags):
        return self.cluster.run("helm", command, RELEASE, NAMESPACED, "--wait", "--timeout=180s", *flags)

    @property
    def deployment(self):
        return deployment(self.cluster)

    @property
    def labels(self):
        return selector(self.deployment["spec"]["selector"])

    @property
    def pods(self):
        return pods(self.cluster, self.labels)

    @property
    def autoscaler(self):
        [autoscaler] = self.api.get(AUTOSCALER)["items"]
        return autoscaler["spec"]

    @property
    def budget(self):
        """Returns the disruption budget once it counts all pods."""

        def counted():
            [budget] = self.api.get(BUDGET)["items"]
            return budget["status"] if budget["status"].get("currentHealthy") == len(self.pods) else None

        return self.cluster.controllers.until("the budget counts the pods", counted)

    def scale(self, replicas):
        """Scales as the autoscaler does."""
        self.cluster.kubectl("scale", NAMESPACED, f"deployment/{RELEASE}", f"--replicas={replicas}")
        return rolled_out(self.cluster)

    def rollout(self, change):
        """Calls `change`, waits until every pod is replaced, and records how many were ready at once."""
        listed = self.api.get(PODS, labelSelector=self.labels)
        before = names(listed["items"])
        alive = names(pod for pod in listed["items"] if ready(pod))
        fewest = len(alive)
        change()
        found = rolled_out(self.cluster)
        for kind, pod in self.api.history(PODS, listed["metadata"]["resourceVersion"], labelSelector=self.labels):
            alive -= names([pod])
            if kind != "DELETED" and ready(pod):
                alive |= names([pod])
            fewest = min(fewest, len(alive))
        after = self.pods
        assert alive == names(pod for pod in after if ready(pod))
        return Rollout(before, fewest, not names(after) & before, found)


@pytest.fixture(scope="module")
def release(clusters):
    cluster = clusters["production"]
    release = Release(cluster)
    release.helm("install", CHART, *release.flags)
    # One replica at first, until the autoscaler acts.
    rolled_out(cluster, least=release.autoscaler["minReplicas"])
    yield release


def revisions(release):
    """Returns the status of each of Helm's revisions."""
    listed = release.api.get(f"/api/v1/namespaces/{NAMESPACE}/secrets", labelSelector="owner=helm")["items"]
    return {int(one["metadata"]["labels"]["version"]): one["metadata"]["labels"]["status"] for one in listed}


def replica_set(release, revision):
    """Returns the name of the ReplicaSet with the template of a revision of the deployment."""
    path = f"/apis/apps/v1/namespaces/{NAMESPACE}/replicasets"
    [name] = names(
        one
        for one in release.api.get(path, labelSelector=release.labels)["items"]
        if one["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == revision
    )
    return name


def test_it_is_installed(release):
    assert revisions(release) == {1: "deployed"}
    assert release.deployment["spec"]["replicas"] == release.autoscaler["minReplicas"] >= 3


def test_the_pods_are_spread_over_the_zones(release):
    zones = [NODES[pod["spec"]["nodeName"]].zone for pod in release.pods]
    counts = [zones.count(node.zone) for node in NODES.values()]
    assert max(counts) - min(counts) <= 1 and min(counts) > 0, counts


def test_no_pod_has_a_token(release):
    for pod in release.pods:
        assert pod["spec"]["serviceAccountName"] not in ("default", "deployer")
        assert "serviceAccountToken" not in str(pod["spec"].get("volumes", []))
        assert "kubernetes.io/serviceaccount" not in str(pod["spec"])


SELECTORS = {
    "NetworkPolicy": ("/apis/networking.k8s.io/v1", "networkpolicies", lambda spec: spec["podSelector"]),
    "PodDisruptionBudget": ("/apis/policy/v1", "poddisruptionbudgets", lambda spec: spec["selector"]),
    "Service": ("/api/v1", "services", lambda spec: {"matchLabels": spec["selector"]}),
}


@pytest.fixture
def other(release):
    """Yields a pod with the service's name label that is not a replica, like the test pod."""
    labels = release.deployment["spec"]["template"]["metadata"]["labels"] | {"app.kubernetes.io/component": "test"}
    security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    spec = {
        "containers": [{"name": "other", "image": "pause:3", "securityContext": security}],
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
    }
    metadata = {"name": "other", "namespace": NAMESPACE, "labels": labels}
    release.cluster.apply([{"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}])
    yield
    release.cluster.kubectl("delete", "--wait=false", NAMESPACED, "pod/other")


@pytest.mark.parametrize("kind", SELECTORS)
def test_its_selectors_match_only_its_pods(release, other, kind):
    root, resource, of = SELECTORS[kind]
    found = release.api.get(f"{root}/namespaces/{NAMESPACE}/{resource}")["items"]
    # The namespace has policies of its own.
    found = [thing for thing in found if "app.kubernetes.io/instance" in thing["metadata"].get("labels", {})]
    assert found
    for thing in found:
        assert names(pods(release.cluster, selector(of(thing["spec"])))) == names(release.pods), thing["metadata"]["name"]


@pytest.mark.parametrize(("service", "port", "number"), [("shoutback", "http", 5000), ("shoutback-admin", "admin", 9090)])
def test_its_services_route_to_its_pods(release, other, service, port, number):
    path = f"/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices"

    def complete():
        slices = release.api.get(path, labelSelector=f"kubernetes.io/service-name={service}")["items"]
        ports = {(one["name"], one["port"]) for piece in slices for one in piece["ports"]}
        ends = [end for piece in slices for end in piece["endpoints"] if end["conditions"]["ready"]]
        addresses = {address for end in ends for address in end["addresses"]}
        return ports == {(port, number)} and addresses == {pod["status"]["podIP"] for pod in release.pods}

    release.cluster.controllers.until(f"{service} has exactly its pods", complete)


def test_the_monitor_selects_the_admin_service_only(release):
    [monitor] = release.api.get(f"/apis/monitoring.coreos.com/v1/namespaces/{NAMESPACE}/servicemonitors")["items"]
    path = f"/api/v1/namespaces/{NAMESPACE}/services"
    [service] = release.api.get(path, labelSelector=selector(monitor["spec"]["selector"]))["items"]
    assert service["metadata"]["name"] == "shoutback-admin"
    assert {end["port"] for end in monitor["spec"]["endpoints"]} <= {port["name"] for port in service["spec"]["ports"]}


def test_an_upgrade_that_changes_nothing_replaces_nothing(release):
    before = names(release.pods)
    release.helm("upgrade", CHART, *release.flags)
    rolled_out(release.cluster)
    assert names(release.pods) == before


@pytest.fixture(scope="module")
def most(release):
    """Scales to the autoscaler's maximum."""
    release.scale(release.autoscaler["maxReplicas"])
    return release.autoscaler["maxReplicas"]


@pytest.fixture(scope="module")
def upgraded(release, most):
    """Changes one setting."""
    return release.rollout(lambda: release.helm("upgrade", CHART, *release.flags, "--set=config.RUST_LOG=debug"))


@pytest.fixture(scope="module")
def rolled_back(release, upgraded):
    """Rolls back to the install."""
    return release.rollout(lambda: release.helm("rollback", "1"))


@pytest.mark.parametrize("rollout", ["upgraded", "rolled_back"])
def test_all_pods_are_replaced_without_excess(release, rollout, request):
    rollout = request.getfixturevalue(rollout)
    assert rollout.replaced
    assert rollout.fewest_ready >= release.budget["desiredHealthy"] >= 2


@pytest.mark.parametrize("rollout", ["upgraded", "rolled_back"])
def test_the_replicas_are_left_to_the_autoscaler(release, most, rollout, request):
    assert len(request.getfixturevalue(rollout).before) == most
    assert request.getfixturevalue(rollout).deployment["spec"]["replicas"] == most


def test_a_rollback_returns_to_the_first_template(release, rolled_back):
    # A template that is rolled out again gets a new revision number.
    assert {pod["metadata"]["ownerReferences"][0]["name"] for pod in release.pods} == {replica_set(release, "3")}
    assert "RUST_LOG" not in str(release.api.get(f"/api/v1/namespaces/{NAMESPACE}/configmaps/{RELEASE}")["data"])
    assert [number for number, status in revisions(release).items() if status == "deployed"] == [4]


def test_the_quota_never_blocked_a_pod(release, rolled_back):
    assert not refusals(release.cluster, RELEASE)


def test_the_autoscaler_scales_down(release, most):
    release.cluster.kubectl("scale", NAMESPACED, f"deployment/{RELEASE}", f"--replicas={most + 1}")
    release.cluster.controllers.until("it has scaled down", lambda: release.deployment["spec"]["replicas"] == most)
    release.scale(release.autoscaler["minReplicas"])


def cordon(release, nodes, unschedulable=True):
    patch = {"spec": {"unschedulable": unschedulable}}
    for node in nodes:
        response = release.api.call("PATCH", f"/api/v1/nodes/{node}", patch, content_type="application/merge-patch+json")
        assert response.status == 200, response.text


def test_a_drain_waits_for_the_budget_and_ends(release, tmp_path):
    """At first no node has capacity for evicted pods, so the budget is used up and evictions are rejected; then there is."""
    budget = release.budget
    occupied = sorted({pod["spec"]["nodeName"] for pod in release.pods})
    assert 0 < budget["disruptionsAllowed"] < len(occupied), "the budget allows no eviction, or all"
    drained = occupied[: budget["disruptionsAllowed"] + 1]
    command = ["kubectl", "drain", "--delete-emptydir-data", "--timeout=120s", *drained]

    def drain():
        with Process(command, tmp_path / "drain.log", release.cluster.variables) as process:
            process.until("it is rejected", lambda: "violate the pod's disruption budget" in process.output())
            standing = [pod["metadata"]["name"] for pod in release.pods if ready(pod)]
            assert len(standing) == budget["desiredHealthy"]
            # The budget applies to sre, too.
            eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": standing[0], "namespace": NAMESPACE}}
            assert release.api.call("POST", f"{PODS}/{standing[0]}/eviction", eviction, TEAMS["sre"]).status == 429
            cordon(release, set(NODES) - set(drained), unschedulable=False)
            assert process.child.wait(timeout=120) == 0, process.output()

    cordon(release, NODES)
    try:
        assert release.rollout(drain).fewest_ready == budget["desiredHealthy"]
        assert not {pod["spec"]["nodeName"] for pod in release.pods} & set(drained)
    finally:
        cordon(release, NODES, unschedulable=False)


def test_sre_restarts_rolls_back_scales_and_deletes(release):
    """Runs the commands that the table of docs/teams.md permits."""

    def kubectl(*command):
        release.cluster.kubectl(*command, NAMESPACED, subject=TEAMS["sre"])

    template = release.deployment["spec"]["template"]
    kubectl("rollout", "restart", f"deployment/{RELEASE}")
    assert release.deployment["spec"]["template"] != template
    kubectl("rollout", "undo", f"deployment/{RELEASE}")
    assert release.deployment["spec"]["template"] == template
    kubectl("scale", f"deployment/{RELEASE}", f"--replicas={release.autoscaler['minReplicas'] + 1}")
    assert len(rolled_out(release.cluster) and release.pods) == release.autoscaler["minReplicas"] + 1
    victim = min(names(release.pods))
    kubectl("delete", "--wait=false", f"pod/{victim}")
    rolled_out(release.cluster, counted="readyReplicas")
    assert victim not in names(release.pods)


def test_a_removed_release_leaves_nothing(release):
    release.helm("uninstall")
    wait_until_empty(release.cluster)
    kinds = "all,configmaps,ingresses,networkpolicies,poddisruptionbudgets,servicemonitors,prometheusrules"
    leftovers = release.cluster.kubectl("get", kinds, NAMESPACED, "--output=name").stdout
    own = [f"networkpolicy.networking.k8s.io/{name}" for name in ("namespace", "test")]
    assert leftovers.split() == ["configmap/kube-root-ca.crt", *own]
