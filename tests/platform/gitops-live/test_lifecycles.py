"""The real Argo CD deploys the platform and the service apart, whatever state the other one is in."""

import json

import pytest

from argocd import operation
from conftest import VALUES
from harness.git import git
from harness.runbooks import commands

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


def test_the_steps_of_the_documentation_install_everything(cluster, installed, walk):
    """`installed` has run them. What they create by hand is there, and Argo CD has changed none of it."""
    assert len(walk.ran) > 20
    assert {"client-id", "client-secret"} == cluster.api.get("/api/v1/namespaces/shoutback/secrets/shoutback-test")["data"].keys()
    assert cluster.api.get("/api/v1/namespaces/argocd/secrets/argocd-notifications-secret")["data"].keys() == {"github-privateKey"}
    assert cluster.api.get("/api/v1/namespaces/filebeat/secrets/shoutback-es-http-certs-public")["data"].keys() == {"ca.crt"}


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
    """The procedure of docs/incidents.md if GitHub or Argo CD is down, by a member of sre."""
    sre = ["--as=somebody", "--as-group=shoutback-sre", "--namespace=shoutback", "set", "env", "deployment/shoutback", "--containers=shoutback"]
    cluster.kubectl(*sre, "SHOUTCLOUD_FALLBACK=local")
    variable = lambda: "SHOUTCLOUD_FALLBACK" in json.dumps(cluster.api.get("/apis/apps/v1/namespaces/shoutback/deployments/shoutback")["spec"])  # noqa: E731
    assert variable()
    commit, _ = origin.deploy("Release while it is set")
    argocd.until_deployed("shoutback", commit)
    assert variable()
    cluster.kubectl(*sre, "SHOUTCLOUD_FALLBACK-")
    assert not variable()


def test_the_on_call_engineer_pauses_and_resumes_the_automatic_sync(argocd, cluster, operators, installed):
    """By the commands of docs/incidents.md: afterwards the application prunes and heals itself as before."""
    found = {command for _, command in commands("argocd") if "--sync-policy" in command}
    [pause] = [command for command in found if command.endswith(" none")]
    [resume] = found - {pause}
    token = operators.token(VALUES["ARGOCD_CLIENT_ID"], "shoutback-sre")
    policy = lambda: argocd.application("shoutback")["spec"]["syncPolicy"]  # noqa: E731
    before = policy()
    assert before["automated"]
    for command, expected in ((pause, {}), (resume, before["automated"])):
        done = argocd.command(token, *command.split()[1:])
        assert done.returncode == 0, done
        assert policy().get("automated", {}) == expected
    for action in ("get", "diff"):
        done = argocd.command(token, "app", action, "shoutback")
        assert done.returncode == 0, done


# In seconds, as in argocd-cmd-params-cm.
LIMIT = 1500
# No node satisfies it, as while a zone is down.
ENDLESS = """\
apiVersion: batch/v1
kind: Job
metadata:
  name: endless
  namespace: {{ .Release.Namespace }}
  annotations:
    argocd.argoproj.io/hook: PreSync
spec:
  template:
    spec:
      restartPolicy: Never
      nodeSelector: { topology.kubernetes.io/zone: none }
      containers: [{ name: endless, image: "registry.example/endless:1" }]
---
# A hook alone is no difference, and starts no sync.
apiVersion: v1
kind: ConfigMap
metadata:
  name: endless
  namespace: {{ .Release.Namespace }}
data:
  number: "NUMBER"
"""


def stuck(argocd, origin, number):
    """Deploys a platform whose `logging` waits for a hook, and waits until it does. Returns the time at which that sync started."""
    file = "gitops/platform/logging/templates/endless.yaml"
    commit, _ = origin.deploy("Break an add-on", {file: lambda _: ENDLESS.replace("NUMBER", str(number))}, platform=True)

    def waiting():
        found = operation(argocd.application("logging"))
        return found if found.get("phase") == "Running" and commit in json.dumps(found) and "endless" in found.get("message", "") else None

    started = argocd.until("the sync waits for the hook", waiting)["startedAt"]

    def repair():
        fixed, _ = origin.deploy("Repair the add-on", {file: lambda _: ""}, platform=True)
        argocd.until_deployed("platform", fixed)

        # The sync that ended had changed nothing yet, so there may be nothing to sync.
        def repaired():
            found = argocd.application("logging")["status"]["sync"]
            return found["status"] == "Synced" and fixed in json.dumps(found)

        argocd.until("the add-on is as in git", repaired)

    return started, repair


def ended(argocd, started):
    found = operation(argocd.application("logging"))
    assert found["startedAt"] == started, found
    return found if found["phase"] in ("Failed", "Error") else None


def test_the_on_call_engineer_ends_a_sync_that_cannot_end(argocd, operators, origin, installed):
    started, repair = stuck(argocd, origin, 1)
    client = VALUES["ARGOCD_CLIENT_ID"]
    rejected = argocd.command(operators.token(client, "shoutback-developers"), "app", "terminate-op", "logging")
    assert rejected.returncode != 0 and "permission denied" in rejected.stderr, rejected
    accepted = argocd.command(operators.token(client, "shoutback-sre"), "app", "terminate-op", "logging")
    assert accepted.returncode == 0, accepted
    found = argocd.until("the sync is ended", lambda: ended(argocd, started))
    assert "terminated" in found["message"]
    repair()


def test_a_sync_that_cannot_end_is_ended_by_its_limit(argocd, origin, installed):
    started, repair = stuck(argocd, origin, 2)
    # A release of the service is not concerned.
    commit, _ = origin.deploy("Release beside a broken add-on")
    argocd.until_deployed("shoutback", commit)
    assert operation(argocd.application("logging"))["phase"] == "Running"
    argocd.start_controller(timeout=1)
    found = argocd.until("the sync is ended", lambda: ended(argocd, started))
    assert "timeout" in found["message"]
    argocd.start_controller(LIMIT)
    repair()


def test_a_release_replaces_one_that_fails(argocd, cluster, origin, installed):
    """What the API server rejects is retried, but for the newest commit."""
    file = "helm/shoutback/templates/broken.yaml"
    bad, _ = origin.deploy("Add what the deployer may not create", {file: lambda _: "apiVersion: v1\nkind: Secret\nmetadata: {name: broken}\n"})

    def retried():
        found = operation(argocd.application("shoutback"))
        return bad in json.dumps(found) and found.get("retryCount", 0) > 0

    argocd.until("its sync is retried", retried)
    good, _ = origin.deploy("Remove it", {file: lambda _: ""})
    found = argocd.until_deployed("shoutback", good)
    assert good in image(cluster)
    assert bad not in json.dumps(found["status"]["history"]) and git(origin.bare, "merge-base", "--is-ancestor", bad, good) == ""
