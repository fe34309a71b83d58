"""The real Argo CD deploys the platform and the service apart, whatever state the other one is in."""

import json

import pytest

from argocd import SYNC_TIMEOUT, operation
from harness.git import git

CONFIG = "/api/v1/namespaces/shoutback/configmaps/shoutback"
LOGGING = "gitops/platform/staging/logging.yaml"


def config(cluster):
    return cluster.api.get(CONFIG)["data"]


def image(cluster):
    containers = cluster.api.get("/apis/apps/v1/namespaces/shoutback/deployments/shoutback")["spec"]["template"]["spec"]["containers"]
    return next(container["image"] for container in containers if container["name"] == "shoutback")


def test_everything_comes_up_in_the_order_of_waves(argocd, installed):
    found = argocd.applications()
    created = {name: one["metadata"]["creationTimestamp"] for name, one in found.items()}
    wave = {name: int(one["metadata"].get("annotations", {}).get("argocd.argoproj.io/sync-wave", 99)) for name, one in found.items()}
    addons = [name for name in found if name not in ("platform", "shoutback")]
    for before in addons:
        for after in addons:
            assert wave[before] >= wave[after] or created[before] <= created[after], (before, after)
    assert len(addons) == 14
    synced = {name for name, one in found.items() if one["status"]["sync"]["status"] == "Synced"}
    assert synced == found.keys()


def degraded(argocd, controllers, health, expected):
    controllers.health = health
    argocd.until(f"logging is {expected}", lambda: argocd.application("logging")["status"]["health"]["status"] == expected)


@pytest.mark.parametrize(("health", "expected"), [("yellow", "Progressing"), ("red", "Degraded")])
def test_a_release_and_its_rollback_do_not_wait_for_an_addon(argocd, cluster, origin, installed, controllers, health, expected):
    degraded(argocd, controllers, health, expected)
    try:
        before = image(cluster)
        platform = argocd.application("platform")["status"]["sync"]["revisions"]
        commit, _ = origin.deploy("Release something")
        argocd.until_deployed("shoutback", commit)
        assert commit in image(cluster)
        origin.release("rollback", "staging")
        argocd.until("the rollback is deployed", lambda: image(cluster) == before)
        # The platform is of the same commit as before.
        assert argocd.application("platform")["status"]["sync"]["revisions"][1] == platform[1]
    finally:
        degraded(argocd, controllers, "green", "Healthy")


def test_a_release_of_the_platform_does_not_wait_for_an_addon(argocd, cluster, origin, installed, controllers):
    degraded(argocd, controllers, "red", "Degraded")
    try:
        before = image(cluster)
        commit, _ = origin.deploy("Change an add-on", {LOGGING: lambda text: text.replace("50Gi", "60Gi")}, platform=True)
        argocd.until_deployed("platform", commit)
        argocd.until("the add-on has its change", lambda: "60Gi" in json.dumps(cluster.api.get("/apis/elasticsearch.k8s.elastic.co/v1/namespaces/logging/elasticsearches/shoutback")))
        assert image(cluster) == before
    finally:
        degraded(argocd, controllers, "green", "Healthy")


def test_an_override_survives_self_heal_and_releases(argocd, cluster, origin, installed):
    origin.release("override", "staging", "set", "SHOUTCLOUD_FALLBACK=local", "--reason", "Incident 42")
    argocd.until("the override is deployed", lambda: config(cluster).get("SHOUTCLOUD_FALLBACK") == "local")
    # A change by hand is reverted to it.
    cluster.kubectl("--namespace=shoutback", "patch", "configmap", "shoutback", "--type=merge", '--patch={"data": {"SHOUTCLOUD_FALLBACK": "off"}}')
    argocd.until("the change by hand is reverted", lambda: config(cluster).get("SHOUTCLOUD_FALLBACK") == "local")
    commit, _ = origin.deploy("Release something else")
    argocd.until_deployed("shoutback", commit)
    assert config(cluster)["SHOUTCLOUD_FALLBACK"] == "local"
    origin.release("override", "staging", "remove", "SHOUTCLOUD_FALLBACK", "--reason", "It is over")
    argocd.until("the override is removed", lambda: "SHOUTCLOUD_FALLBACK" not in config(cluster))


def test_a_variable_that_is_set_without_git_stays_until_it_is_removed(argocd, cluster, origin, installed):
    """The way of docs/operations.md when GitHub or Argo CD is down, by a member of sre."""
    sre = ["--as=somebody", "--as-group=shoutback-sre", "--namespace=shoutback", "set", "env", "deployment/shoutback", "--containers=shoutback"]
    cluster.kubectl(*sre, "SHOUTCLOUD_FALLBACK=local")
    variable = lambda: "SHOUTCLOUD_FALLBACK" in json.dumps(cluster.api.get("/apis/apps/v1/namespaces/shoutback/deployments/shoutback")["spec"])  # noqa: E731
    assert variable()
    commit, _ = origin.deploy("Release while it is set")
    argocd.until_deployed("shoutback", commit)
    assert variable()
    cluster.kubectl(*sre, "SHOUTCLOUD_FALLBACK-")
    assert not variable()


ENDLESS = """\
apiVersion: batch/v1
kind: Job
metadata:
  name: endless
  namespace: {{ .Release.Namespace }}
  annotations:
    argocd.argoproj.io/hook: PreSync
spec:
  suspend: true
  template:
    spec:
      restartPolicy: Never
      containers: [{ name: endless, image: "registry.example/endless:1" }]
---
# A hook alone is no difference, and starts no sync.
apiVersion: v1
kind: ConfigMap
metadata:
  name: endless
  namespace: {{ .Release.Namespace }}
"""


def test_a_sync_that_cannot_end_is_ended_and_the_next_commit_is_deployed(argocd, cluster, origin, installed):
    file = "gitops/platform/logging/templates/endless.yaml"
    stuck, _ = origin.deploy("Break an add-on", {file: lambda _: ENDLESS}, platform=True)

    def phase(expected):
        found = operation(argocd.application("logging"))
        return found.get("phase") == expected and stuck in json.dumps(found.get("operation", {}) | found.get("syncResult", {}))

    argocd.until("the sync runs", lambda: phase("Running"))
    argocd.until("the sync is ended", lambda: phase("Failed") or phase("Error"), within=4 * SYNC_TIMEOUT)
    # A release of the service was never concerned.
    commit, _ = origin.deploy("Release beside a broken add-on")
    argocd.until_deployed("shoutback", commit)
    fixed, _ = origin.deploy("Repair the add-on", {file: lambda _: "# Repaired\n"}, platform=True)
    argocd.until_deployed("platform", fixed)
    argocd.until_deployed("logging", fixed, within=4 * SYNC_TIMEOUT)


def test_the_newest_of_two_releases_is_deployed(argocd, cluster, origin, installed):
    """A release that the API server rejects is replaced by the next one, without being deployed first."""
    broken = {"helm/shoutback/templates/broken.yaml": lambda _: "apiVersion: v1\nkind: Secret\nmetadata: {name: broken}\n"}
    bad, _ = origin.deploy("Add what the deployer may not create", broken)
    argocd.until("its sync fails", lambda: "retr" in operation(argocd.application("shoutback")).get("message", "").lower() or operation(argocd.application("shoutback")).get("retryCount", 0) > 0)
    good, _ = origin.deploy("Remove it", {"helm/shoutback/templates/broken.yaml": lambda _: ""})
    argocd.until_deployed("shoutback", good)
    assert good in image(cluster) and git(origin.bare, "merge-base", "--is-ancestor", bad, good) == ""
