"""The teams' rights, asked of a real API server, and tried where it matters."""

import pytest
from permissions import ROWS, TEAMS, environments, table

from harness.kubernetes import service_account

TABLE = table()


def test_the_document_has_these_rows():
    assert list(TABLE) == list(ROWS)


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("team", TEAMS)
def test_the_document_is_right(cluster, environment, team, row):
    """Every access that a row stands for, so `–` means that none of them is allowed."""
    expected = environment in environments(TABLE[row][team])
    wrong = [access for access in ROWS[row] if access.allowed(cluster.api, TEAMS[team]) != expected]
    assert not wrong, f"{team} {'may not' if expected else 'may'} {wrong}"


def discovered(api):
    """Resources and subresources that the server knows: group, name, whether they are namespaced, and their verbs."""
    for group_version in ["v1", *(group["preferredVersion"]["groupVersion"] for group in api.get("/apis")["groups"])]:
        group, _, _ = group_version.rpartition("/")
        for resource in api.get(f"/{'apis' if group else 'api'}/{group_version}")["resources"]:
            yield group, resource["name"], resource["namespaced"], resource["verbs"]


# Anybody who is let in may ask what he himself may do, and who he is.
OF_EVERYBODY = {"selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews"}


READ = {"get", "list", "watch"}
ANY = READ | {"create", "update", "patch", "delete", "deletecollection", "proxy", "connect"}


def test_auditors_read_all_kinds_but_secrets_and_change_none(cluster):
    api, auditors, seen = cluster.api, TEAMS["auditors"], set()
    for group, resource, namespaced, verbs in discovered(api):
        seen.add(f"{group}:{resource}")
        for namespace in ("", "shoutback", "kube-system") if namespaced else ("",):
            for verb in ANY.union(verbs):
                allowed = api.is_allowed(auditors, verb, resource, namespace, group=group)
                where = f"{verb} {resource}.{group} in {namespace or 'all'}"
                if resource in OF_EVERYBODY and verb == "create":
                    continue
                if verb not in READ:
                    assert not allowed, where
                elif "/" in resource and group == "":
                    assert allowed == ((resource, verb, namespace) == ("pods/log", "get", "shoutback")), where
                elif resource == "secrets":
                    assert not allowed, where
                elif "/" in resource:
                    assert not allowed or resource.endswith(("/status", "/scale", "/approval")), where
                elif verb in verbs:
                    assert allowed, where
    # That there was something to look at.
    assert {":secrets", ":pods/exec", ":nodes/proxy", "rbac.authorization.k8s.io:roles", "argoproj.io:applications"} <= seen
    assert len(seen) > 120


# Over WebSockets as kubectl does it, and as kubectl did it before.
WEBSOCKET = [
    ("upgrade", "websocket"),
    ("connection", "upgrade"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA=="),
    ("sec-websocket-protocol", "v5.channel.k8s.io"),
]
SPDY = [("upgrade", "SPDY/3.1"), ("connection", "upgrade"), ("content-length", "0")]
UPGRADES = {"websocket": ("GET", WEBSOCKET), "spdy": ("POST", SPDY)}
NAMESPACE = "/api/v1/namespaces/shoutback"


@pytest.fixture
def furnished(cluster):
    """A secret, and a pod that no node has: whoever may enter it is told so, and not that it is forbidden."""
    security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    spec = {
        "containers": [{"name": "sleep", "image": "pause:3", "securityContext": security}],
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
        "nodeSelector": {"nowhere": "true"},
    }
    things = [
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "token"}, "stringData": {"token": "a secret value"}},
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "waiting"}, "spec": spec},
    ]
    for thing in things:
        path = f"{NAMESPACE}/{thing['kind'].lower()}s"
        # It may be there from the test before.
        assert cluster.api.call("POST", path, thing).status in (201, 409)
    yield
    # Others count pods.
    cluster.api.call("DELETE", f"{NAMESPACE}/pods/waiting?gracePeriodSeconds=0")


@pytest.mark.parametrize("team", TEAMS)
def test_no_team_gets_at_a_secret(cluster, furnished, team):
    """By name, in a list, by a watch, or as metadata only."""
    only_metadata = [("accept", "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1")]
    for path in ("/secrets/token", "/secrets", "/secrets?watch=1&timeoutSeconds=1", "/secrets?fieldSelector=metadata.name%3Dtoken"):
        for headers in ([], only_metadata):
            answer = cluster.api.call("GET", NAMESPACE + path, subject=TEAMS[team], headers=headers)
            assert answer.status == 403 and "a secret value" not in answer.text, path
    path = f"{NAMESPACE}/secrets/token?dryRun=All"
    assert cluster.api.call("PATCH", path, {}, TEAMS[team], content_type="application/merge-patch+json").status == 403


@pytest.mark.parametrize("protocol", UPGRADES)
@pytest.mark.parametrize("stream", ["exec", "attach", "portforward"])
@pytest.mark.parametrize("team", TEAMS)
def test_who_gets_into_a_pod(cluster, environment, furnished, team, stream, protocol):
    """The request that kubectl makes: past the authorizer it fails for want of a node, before it for want of a right."""
    row = "forward ports to pods" if stream == "portforward" else "run commands in pods, attach to them, add containers to them"
    allowed = environment in environments(TABLE[row][team])
    method, headers = UPGRADES[protocol]
    query = "ports=9090" if stream == "portforward" else "command=env&stdout=true&container=sleep"
    answer = cluster.api.call(method, f"{NAMESPACE}/pods/waiting/{stream}?{query}", subject=TEAMS[team], headers=headers)
    if allowed:
        assert answer.status == 400 and "does not have a host assigned" in answer.text, answer
    else:
        assert answer.status == 403 and "Forbidden" in answer.text, answer


@pytest.mark.parametrize("team", TEAMS)
def test_who_adds_a_container_to_a_pod(cluster, furnished, team):
    security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    container = {"name": "debugger", "image": "busybox:1", "securityContext": security, "targetContainerName": "sleep"}
    path = f"{NAMESPACE}/pods/waiting/ephemeralcontainers?dryRun=All"

    def add(container):
        patch = {"spec": {"ephemeralContainers": [container]}}
        return cluster.api.call("PATCH", path, patch, TEAMS[team], content_type="application/strategic-merge-patch+json")

    assert add(container).status == (200 if team == "break-glass" else 403)
    # Nor does break-glass get past Pod Security.
    refused = add(container | {"securityContext": {"privileged": True}})
    assert refused.status == 403 and ("violates PodSecurity" in refused.text) == (team == "break-glass")


@pytest.mark.parametrize("team", TEAMS)
@pytest.mark.parametrize("path", ["/pods/waiting/proxy/", "/services/shoutback-admin:9090/proxy/metrics"])
def test_nobody_passes_the_proxy(cluster, furnished, team, path):
    assert cluster.api.call("GET", NAMESPACE + path, subject=TEAMS[team]).status == 403


@pytest.mark.parametrize("team", TEAMS)
def test_nobody_raises_his_own_rights(cluster, furnished, team):
    api, subject = cluster.api, TEAMS[team]
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    me = [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": f"shoutback-{team}"}]
    binding = {"metadata": {"name": "mine"}, "roleRef": reference, "subjects": me}
    rule = [{"op": "add", "path": "/rules/-", "value": {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}}]
    attempts = [
        ("POST", f"{rbac}/namespaces/shoutback/rolebindings", binding, "application/json"),
        ("POST", f"{rbac}/clusterrolebindings", binding, "application/json"),
        ("PATCH", f"{rbac}/namespaces/shoutback/roles/shoutback-{team}", rule, "application/json-patch+json"),
        ("POST", f"{NAMESPACE}/serviceaccounts/deployer/token", {"spec": {}}, "application/json"),
        ("POST", "/apis/certificates.k8s.io/v1/certificatesigningrequests", {"metadata": {"name": "mine"}}, "application/json"),
    ]
    for method, path, body, content_type in attempts:
        assert api.call(method, path, body, subject, content_type=content_type).status == 403, path


def test_argo_cd_may_act_as_the_deployer_and_as_nobody_else(cluster):
    metadata = {"name": "argocd-application-controller", "namespace": "argocd"}
    cluster.apply([{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}])
    token = cluster.token_of("argocd", "argocd-application-controller")

    def ask(subject, path=f"{NAMESPACE}/configmaps/any"):
        return cluster.api.call("GET", path, subject=subject, token=token)

    assert ask(service_account("shoutback", "deployer")).status == 404
    assert ask(service_account("shoutback", "deployer"), f"{NAMESPACE}/secrets/any").status == 403
    assert ask(None).status == 403
    for subject in (service_account("shoutback", "default"), service_account("kube-system", "deployer"), TEAMS["sre"]):
        answer = ask(subject)
        assert answer.status == 403 and "cannot impersonate resource" in answer.json["message"], answer


def test_strangers_may_nothing(cluster):
    """Somebody who is let in, but in no team: here the account of pods that name none."""
    for access in set().union(*ROWS.values()):
        assert not access.allowed(cluster.api, service_account("shoutback", "default")), access
