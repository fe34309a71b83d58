"""The life of a release of production, in order: installed, changed, rolled back, scaled, its nodes drained, removed."""

import math

import pytest
from chart import CHART, NAMESPACE, PODS, RELEASE, deployment, names, none_left, pods, ready, refusals, rolled_out, selector, values_of
from conftest import NODES
from rights import TEAMS

from harness.process import Process

BUDGET = f"/apis/policy/v1/namespaces/{NAMESPACE}/poddisruptionbudgets"
AUTOSCALER = f"/apis/autoscaling/v2/namespaces/{NAMESPACE}/horizontalpodautoscalers"
NAMESPACED = [f"--namespace={NAMESPACE}"]


class Release:
    def __init__(self, cluster):
        self.cluster, self.api = cluster, cluster.api
        self.flags = values_of("production")

    def helm(self, command, *flags):
        return self.cluster.run("helm", command, RELEASE, *NAMESPACED, "--wait", "--timeout=90s", *flags)

    def upgrade(self, *flags):
        self.helm("upgrade", CHART, *self.flags, *flags)
        return rolled_out(self.cluster)

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
    def budget(self):
        """Once it counts all pods."""

        def counted():
            [budget] = self.api.get(BUDGET)["items"]
            return budget if budget["status"].get("currentHealthy") == len(self.pods) else None

        return self.cluster.controllers.until("the budget counts the pods", counted)

    def scale(self, replicas):
        """As the autoscaler does, or somebody of sre."""
        self.cluster.kubectl("scale", *NAMESPACED, f"deployment/{RELEASE}", f"--replicas={replicas}", subject=TEAMS["sre"])
        return rolled_out(self.cluster, least=replicas)

    def fewest_ready(self, change):
        """Does `change`, and counts how many pods were ready at once, at the least, while it was done."""
        listed = self.api.get(PODS, labelSelector=self.labels)
        alive = names(pod for pod in listed["items"] if ready(pod))
        fewest = len(alive)
        change()
        for kind, pod in self.api.history(PODS, listed["metadata"]["resourceVersion"], labelSelector=self.labels):
            alive -= names([pod])
            if kind != "DELETED" and ready(pod):
                alive |= names([pod])
            fewest = min(fewest, len(alive))
        assert alive == names(pod for pod in self.pods if ready(pod))
        return fewest


@pytest.fixture(scope="module")
def release(clusters):
    cluster = clusters["production"]
    release = Release(cluster)
    release.helm("install", CHART, *release.flags)
    rolled_out(cluster)
    yield release
    release.helm("uninstall")
    none_left(cluster)


def revisions(release):
    """The status of each of Helm's revisions."""
    listed = release.api.get(f"/api/v1/namespaces/{NAMESPACE}/secrets", labelSelector="owner=helm")["items"]
    return {int(one["metadata"]["labels"]["version"]): one["metadata"]["labels"]["status"] for one in listed}


def least_replicas(release):
    [autoscaler] = release.api.get(AUTOSCALER)["items"]
    return autoscaler["spec"]["minReplicas"]


def test_it_is_installed(release):
    assert revisions(release) == {1: "deployed"}
    found = rolled_out(release.cluster, least=least_replicas(release))
    assert found["spec"]["replicas"] == least_replicas(release) >= 3
    assert all(ready(pod) for pod in release.pods)


def test_the_pods_are_spread_over_the_zones(release):
    zones = [NODES[pod["spec"]["nodeName"]] for pod in release.pods]
    counts = [zones.count(zone) for zone in set(NODES.values())]
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


@pytest.mark.parametrize("kind", SELECTORS)
def test_its_selectors_select_the_pods_and_no_other(release, kind):
    """The namespace has another pod that calls itself the service's, as the test's does."""
    labels = {name: value for name, value in release.deployment["metadata"]["labels"].items()} | {"app.kubernetes.io/component": "test"}
    other = {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "other", "namespace": NAMESPACE, "labels": labels}}
    security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    other["spec"] = {
        "containers": [{"name": "other", "image": "pause:3", "securityContext": security}],
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
    }
    release.cluster.apply([other])
    try:
        root, resource, of = SELECTORS[kind]
        found = release.api.get(f"{root}/namespaces/{NAMESPACE}/{resource}")["items"]
        assert found
        for thing in found:
            assert names(pods(release.cluster, selector(of(thing["spec"])))) == names(release.pods), thing["metadata"]["name"]
    finally:
        release.cluster.kubectl("delete", *NAMESPACED, "pod/other")


@pytest.mark.parametrize(("service", "port", "number"), [("shoutback", "http", 5000), ("shoutback-admin", "admin", 9090)])
def test_its_services_lead_to_the_pods(release, service, port, number):
    def complete():
        slices = release.api.get(
            f"/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices", labelSelector=f"kubernetes.io/service-name={service}"
        )["items"]
        ports = {(one["name"], one["port"]) for piece in slices for one in piece["ports"]}
        ends = [end for piece in slices for end in piece["endpoints"] if end["conditions"]["ready"]]
        addresses = {address for end in ends for address in end["addresses"]}
        return ports == {(port, number)} and addresses == {pod["status"]["podIP"] for pod in release.pods}

    release.cluster.controllers.until(f"{service} has all pods", complete)


def test_the_monitor_selects_the_admin_service_only(release):
    [monitor] = release.api.get(f"/apis/monitoring.coreos.com/v1/namespaces/{NAMESPACE}/servicemonitors")["items"]
    services = release.api.get(f"/api/v1/namespaces/{NAMESPACE}/services", labelSelector=selector(monitor["spec"]["selector"]))["items"]
    assert names(services) == {"shoutback-admin"}
    assert {end["port"] for end in monitor["spec"]["endpoints"]} <= {port["name"] for port in services[0]["spec"]["ports"]}


def test_an_upgrade_that_changes_nothing_replaces_nothing(release):
    before = names(release.pods)
    release.upgrade()
    assert names(release.pods) == before


def test_a_changed_setting_replaces_the_pods_one_after_the_other(release):
    before, budget = names(release.pods), release.budget["status"]["desiredHealthy"]
    assert release.fewest_ready(lambda: release.upgrade("--set=config.RUST_LOG=debug")) >= budget >= 2
    assert not names(release.pods) & before


def test_a_rollback_returns_to_what_there_was(release):
    """To the revision of the install, from a template that differs from it."""
    replica_sets = f"/apis/apps/v1/namespaces/{NAMESPACE}/replicasets"
    first, = (
        one["metadata"]["name"]
        for one in release.api.get(replica_sets, labelSelector=release.labels)["items"]
        if one["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "1"
    )
    before, budget = names(release.pods), release.budget["status"]["desiredHealthy"]

    def roll_back():
        release.helm("rollback", "1")
        rolled_out(release.cluster)

    assert release.fewest_ready(roll_back) >= budget
    assert not names(release.pods) & before
    assert {pod["metadata"]["ownerReferences"][0]["name"] for pod in release.pods} == {first}
    assert [number for number, status in revisions(release).items() if status == "deployed"] == [max(revisions(release))]


def test_an_upgrade_leaves_the_replicas_to_the_autoscaler(release):
    release.scale(7)
    found = release.upgrade("--set=config.RUST_LOG=warn")
    assert found["spec"]["replicas"] == len(release.pods) == 7
    release.helm("rollback", "1")
    assert rolled_out(release.cluster)["spec"]["replicas"] == 7


def test_a_rolling_update_at_most_replicas_fits_the_quota(release):
    [autoscaler] = release.api.get(AUTOSCALER)["items"]
    most = autoscaler["spec"]["maxReplicas"]
    release.scale(most)
    release.upgrade("--set=config.RUST_LOG=debug")
    assert len(release.pods) == most
    assert not refusals(release.cluster)
    # And the autoscaler takes back what is more.
    release.cluster.kubectl("scale", *NAMESPACED, f"deployment/{RELEASE}", f"--replicas={most + 1}")
    release.cluster.controllers.until("the most is kept", lambda: release.deployment["spec"]["replicas"] == most)
    release.scale(least_replicas(release))


def cordon(release, nodes, unschedulable=True):
    for node in nodes:
        answer = release.api.call(
            "PATCH", f"/api/v1/nodes/{node}", {"spec": {"unschedulable": unschedulable}}, content_type="application/merge-patch+json"
        )
        assert answer.status == 200, answer.text


def test_a_drain_waits_for_the_budget_and_ends(release, tmp_path):
    """Nowhere is room for what is evicted, so the budget is used up and the rest is refused; then there is room."""
    everything, budget = release.pods, release.budget["status"]
    occupied = sorted({pod["spec"]["nodeName"] for pod in everything})
    allowed = budget["disruptionsAllowed"]
    assert 0 < allowed < len(everything), "the budget allows nothing, or everything"
    # One node more than the budget has pods for, if each has one.
    drained = occupied[: allowed + 1]
    cordon(release, NODES)
    command = ["kubectl", f"--kubeconfig={release.cluster.kubeconfig}", "drain", "--delete-emptydir-data", "--timeout=60s", *drained]

    def drain():
        with Process(command, tmp_path / "drain.log") as process:
            process.until("it is refused", lambda: "violate the pod's disruption budget" in process.printed())
            assert sum(ready(pod) for pod in release.pods) == budget["desiredHealthy"]
            # Nor does sre get past it.
            [victim, *_] = (pod["metadata"]["name"] for pod in release.pods if ready(pod))
            eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": victim, "namespace": NAMESPACE}}
            assert release.api.call("POST", f"{PODS}/{victim}/eviction", eviction, TEAMS["sre"]).status == 429
            cordon(release, set(NODES) - set(drained), unschedulable=False)
            assert process.child.wait(timeout=60) == 0, process.printed()

    try:
        assert release.fewest_ready(drain) == budget["desiredHealthy"]
        rolled_out(release.cluster)
        assert not {pod["spec"]["nodeName"] for pod in release.pods} & set(drained)
    finally:
        cordon(release, NODES, unschedulable=False)


def test_sre_restarts_undoes_and_deletes(release):
    """With the commands that the table of docs/teams.md stands for."""

    def kubectl(*command):
        release.cluster.kubectl(*command, *NAMESPACED, subject=TEAMS["sre"])
        rolled_out(release.cluster)

    image = release.deployment["spec"]["template"]["spec"]["containers"][0]["image"]
    for command in (
        ("rollout", "restart", f"deployment/{RELEASE}"),
        ("set", "image", f"deployment/{RELEASE}", "shoutback=elsewhere:1"),
        ("rollout", "undo", f"deployment/{RELEASE}"),
    ):
        before = names(release.pods)
        kubectl(*command)
        assert not names(release.pods) & before, command
    assert release.deployment["spec"]["template"]["spec"]["containers"][0]["image"] == image
    [victim, *_] = sorted(names(release.pods))
    kubectl("delete", f"pod/{victim}")
    assert victim not in names(release.pods)


def test_a_removed_release_leaves_nothing(release):
    release.helm("uninstall")
    none_left(release.cluster)
    try:
        left = release.cluster.kubectl("get", "all,configmaps,ingresses,networkpolicies,pdb,servicemonitors,prometheusrules", *NAMESPACED, "--output=name").stdout
        assert left.split() == ["configmap/kube-root-ca.crt"]
    finally:
        release.helm("install", CHART, *release.flags)
