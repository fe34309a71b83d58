"""The real Argo CD deploys the platform and the service apart, whatever state the other one is in."""

import json

import pytest

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
    assert len(addons) == 16
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
