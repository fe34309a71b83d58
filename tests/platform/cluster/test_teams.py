"""The permissions of the teams, checked by a real API server, and exercised where it matters."""

import pytest
from permissions import ROWS, TEAMS, environments, table

from harness.kubernetes import service_account

TABLE = table()


def test_the_document_has_exactly_these_rows():
    assert list(TABLE) == list(ROWS)


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("team", TEAMS)
def test_the_document_is_correct(cluster, environment, team, row):
    """Checks every access of a row, so `–` means that none of them is allowed."""
    expected = environment in environments(TABLE[row][team])
    wrong = [access for access in ROWS[row] if access.allowed(cluster.api, TEAMS[team]) != expected]
    assert not wrong, f"{team} {'may not' if expected else 'may'} {wrong}"


def discovered(api):
    """Yields the server's resources and subresources: group, name, whether they are namespaced, and verbs."""
    for group_version in ["v1", *(group["preferredVersion"]["groupVersion"] for group in api.get("/apis")["groups"])]:
        group, _, _ = group_version.rpartition("/")
        for resource in api.get(f"/{'apis' if group else 'api'}/{group_version}")["resources"]:
            yield group, resource["name"], resource["namespaced"], resource["verbs"]


# Every authenticated user may query their own permissions and identity.
OF_EVERYBODY = {"selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews"}


READ = {"get", "list", "watch"}
ANY = READ | {"create", "update", "patch", "delete", "deletecollection", "proxy", "connect"}


def test_auditors_read_all_kinds_but_secrets_and_change_none(cluster):
    api, auditors, checked = cluster.api, TEAMS["auditors"], set()
    for group, resource, namespaced, verbs in discovered(api):
        checked.add(f"{group}:{resource}")
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
    # The loop has covered the important resources.
    assert {":secrets", ":pods/exec", ":nodes/proxy", "rbac.authorization.k8s.io:roles", "argoproj.io:applications"} <= checked
    assert len(checked) > 120


# WebSockets, as current versions of kubectl use, and the older SPDY.
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
    """Yields the cluster with a secret and an unscheduled pod: access to it fails with another error than Forbidden if authorized."""
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
        # An earlier test may have created it.
        assert cluster.api.call("POST", path, thing).status in (201, 409)
    yield
    # Other tests count pods.
    cluster.api.call("DELETE", f"{NAMESPACE}/pods/waiting?gracePeriodSeconds=0")


@pytest.mark.parametrize("team", TEAMS)
def test_no_team_reads_a_secret(cluster, furnished, team):
    """By name, in a list, by a watch, or as metadata only."""
    only_metadata = [("accept", "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1")]
    for path in ("/secrets/token", "/secrets", "/secrets?watch=1&timeoutSeconds=1", "/secrets?fieldSelector=metadata.name%3Dtoken"):
        for headers in ([], only_metadata):
            response = cluster.api.call("GET", NAMESPACE + path, subject=TEAMS[team], headers=headers)
            assert response.status == 403 and "a secret value" not in response.text, path
    path = f"{NAMESPACE}/secrets/token?dryRun=All"
    assert cluster.api.call("PATCH", path, {}, TEAMS[team], content_type="application/merge-patch+json").status == 403


@pytest.mark.parametrize("protocol", UPGRADES)
@pytest.mark.parametrize("stream", ["exec", "attach", "portforward"])
@pytest.mark.parametrize("team", TEAMS)
def test_access_to_pods(cluster, environment, furnished, team, stream, protocol):
    """Sends kubectl's request: an authorized one fails because the pod has no node, others are forbidden."""
    row = "forward ports to pods" if stream == "portforward" else "run commands in pods, attach to them, add containers to them"
    allowed = environment in environments(TABLE[row][team])
    method, headers = UPGRADES[protocol]
    query = "ports=9090" if stream == "portforward" else "command=env&stdout=true&container=sleep"
    response = cluster.api.call(method, f"{NAMESPACE}/pods/waiting/{stream}?{query}", subject=TEAMS[team], headers=headers)
    if allowed:
        assert response.status == 400 and "does not have a host assigned" in response.text, response
    else:
        assert response.status == 403 and "Forbidden" in response.text, response


@pytest.mark.parametrize("team", TEAMS)
def test_adding_ephemeral_containers(cluster, furnished, team):
    security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    container = {"name": "debugger", "image": "busybox:1", "securityContext": security, "targetContainerName": "sleep"}
    path = f"{NAMESPACE}/pods/waiting/ephemeralcontainers?dryRun=All"

    def add(container):
        patch = {"spec": {"ephemeralContainers": [container]}}
        return cluster.api.call("PATCH", path, patch, TEAMS[team], content_type="application/strategic-merge-patch+json")

    assert add(container).status == (200 if team == "break-glass" else 403)
    # Pod Security applies to break-glass, too.
    privileged = add(container | {"securityContext": {"privileged": True}})
    assert privileged.status == 403 and ("violates PodSecurity" in privileged.text) == (team == "break-glass")


@pytest.mark.parametrize("team", TEAMS)
@pytest.mark.parametrize("path", ["/pods/waiting/proxy/", "/services/shoutback-admin:9090/proxy/metrics"])
def test_no_team_uses_the_proxy(cluster, furnished, team, path):
    assert cluster.api.call("GET", NAMESPACE + path, subject=TEAMS[team]).status == 403


@pytest.mark.parametrize("team", TEAMS)
def test_no_team_escalates_its_permissions(cluster, furnished, team):
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


def test_argo_cd_may_impersonate_only_the_deployer(cluster):
    metadata = {"name": "argocd-application-controller", "namespace": "argocd"}
    cluster.apply([{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}])
    token = cluster.token_of("argocd", "argocd-application-controller")

    def read_as(subject, path=f"{NAMESPACE}/configmaps/any"):
        return cluster.api.call("GET", path, subject=subject, token=token)

    assert read_as(service_account("shoutback", "deployer")).status == 404
    assert read_as(service_account("shoutback", "deployer"), f"{NAMESPACE}/secrets/any").status == 403
    assert read_as(None).status == 403
    for subject in (service_account("shoutback", "default"), service_account("kube-system", "deployer"), TEAMS["sre"]):
        response = read_as(subject)
        assert response.status == 403 and "cannot impersonate resource" in response.json["message"], response


def test_other_users_have_no_permissions(cluster):
    """An authenticated user without a team: the default service account of pods."""
    for access in set().union(*ROWS.values()):
        assert not access.allowed(cluster.api, service_account("shoutback", "default")), access
