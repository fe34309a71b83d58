"""The deployer has exactly the permissions that deploying the chart needs."""

import re

import pytest
from chart import DEPLOYER, NAMESPACE, RENDERINGS, wait_until_empty, create_prerequisites, render
from permissions import ELSEWHERE, EVERYWHERE, RBAC, ROLES, WRITE, accesses

from harness.kubernetes import Subject, documents

ROLE = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{NAMESPACE}/roles/shoutback-deployer"


@pytest.fixture(scope="module")
def everything():
    """Returns one object of each kind that the renderings have, from as few renderings as possible."""
    kinds = {}
    for name in ("everything", *RENDERINGS):
        for thing in render(RENDERINGS[name][1]).objects:
            kinds.setdefault(thing["kind"], thing)
    return list(kinds.values())


@pytest.fixture(scope="module")
def allowed(clusters):
    """Returns the rules of the role as pairs of verb and resource."""
    rules = clusters["production"].api.get(ROLE)["rules"]
    assert all(rule.keys() == {"apiGroups", "resources", "verbs"} for rule in rules)
    assert "*" not in str(rules)
    return {
        (verb, f"{resource}.{group}".rstrip("."))
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


REQUEST = re.compile(r'verb="(\w+)" url="https://[^/]+/apis?/(?:([\w.-]+)/)?v\w+/namespaces/shoutback/([\w]+)[^"]*" status="(\d+)')
VERBS = {"GET": "get", "POST": "create", "PATCH": "patch", "DELETE": "delete", "PUT": "update"}


def requested(cluster, *command, things):
    """Returns the requests of kubectl as pairs of verb and resource."""
    text = cluster.kubectl(*command, "--filename=-", "-v=6", subject=DEPLOYER, stdin=documents(things)).stderr
    requests = REQUEST.findall(text)
    assert requests, text
    pairs = set()
    for method, group, resource, status in requests:
        assert status[0] == "2" or status == "404", (method, resource, status)
        pairs.add((VERBS[method], f"{resource}.{group}".rstrip(".")))
        # Applying a new object is also authorized as its creation.
        if method == "PATCH" and status == "201":
            pairs.add(("create", f"{resource}.{group}".rstrip(".")))
    return pairs


def test_each_permission_is_used_and_no_other_is_needed(clusters, everything, allowed):
    """By both of Argo CD's ways to apply new and existing objects, and by removal."""
    cluster, used = clusters["production"], set()
    create_prerequisites(cluster, everything)
    for command in (["apply", "--server-side"], ["apply"]):
        used |= requested(cluster, *command, things=everything)
        for thing in everything:
            thing["metadata"].setdefault("annotations", {})["test"] = command[-1]
        used |= requested(cluster, *command, things=everything)
        used |= requested(cluster, "delete", "--wait=false", things=everything)
        wait_until_empty(cluster)
    assert used == allowed


def role_object(kind, name, **rest):
    return {"apiVersion": f"{RBAC}/v1", "kind": kind, "metadata": {"name": name, "namespace": NAMESPACE}} | rest


def reference(kind, name):
    return {"apiGroup": RBAC, "kind": kind, "name": name}


def test_without_one_resource_the_install_fails(clusters, everything, allowed):
    """For each resource, as a subject with all of the deployer's permissions except those on it."""
    cluster = clusters["production"]
    rules = cluster.api.get(ROLE)["rules"]
    resources = sorted({resource for _, resource in allowed})
    created = []
    for missing in resources:
        remaining = [
            rule | {"resources": [resource]}
            for rule in rules
            for resource in rule["resources"]
            if f"{resource}.{rule['apiGroups'][0]}".rstrip(".") != missing
        ]
        name = f"without-{missing}"
        subjects = [{"apiGroup": RBAC, "kind": "User", "name": name}]
        created.append(role_object("Role", name, rules=remaining))
        created.append(role_object("RoleBinding", name, roleRef=reference("Role", name), subjects=subjects))
    cluster.apply(created)
    try:
        for missing in resources:
            result = cluster.apply(everything, "--dry-run=server", subject=Subject(f"without-{missing}"), check=False)
            assert result.returncode != 0
            forbidden = set(re.findall(r'is forbidden: .* cannot patch resource "(\w+)" in API group "([\w.]*)"', result.stderr))
            assert {f"{resource}.{group}".rstrip(".") for resource, group in forbidden} == {missing}, result.stderr
    finally:
        cluster.kubectl("delete", "--filename=-", "--wait=false", stdin=documents(created))


FORBIDDEN = {
    "secrets": accesses(["get", "list", "watch", *WRITE], "secrets"),
    "pods": accesses([*WRITE, "get", "list"], "pods")
    | accesses(["get", "create"], "pods/exec", "pods/attach", "pods/portforward", "pods/log", "pods/proxy", "services/proxy"),
    "tokens": accesses(["create"], "serviceaccounts/token") | accesses(["create"], "serviceaccounts/token", name="deployer"),
    "roles": accesses([*WRITE, "get", "bind", "escalate"], *ROLES),
    "impersonation": accesses(["impersonate"], "serviceaccounts", "users", "groups"),
    "quota": accesses(WRITE, "resourcequotas", "limitranges") | accesses(WRITE, "namespaces", name=NAMESPACE),
    "other kinds": accesses(WRITE, "apps:daemonsets", "apps:statefulsets", "batch:jobs", "persistentvolumeclaims"),
    "all at once": accesses(["deletecollection", "list", "watch"], "configmaps", "services", "apps:deployments"),
    "other namespaces": accesses(
        ["get", "create", "patch", "delete"],
        "configmaps",
        "services",
        "serviceaccounts",
        "apps:deployments",
        namespaces=ELSEWHERE + EVERYWHERE,
    ),
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_it_may_not(cluster, what):
    wrong = [access for access in FORBIDDEN[what] if access.allowed(cluster.api, DEPLOYER)]
    assert not wrong


def test_kinds_that_the_chart_lacks_are_rejected(cluster):
    """A commit that adds another kind fails."""
    binding = role_object("RoleBinding", "more", roleRef=reference("ClusterRole", "view"))
    metadata = {"name": "more", "namespace": NAMESPACE}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata}
    for thing in (binding, secret, job):
        result = cluster.apply([thing], "--dry-run=server", subject=DEPLOYER, check=False)
        assert result.returncode != 0 and "forbidden" in result.stderr, result.stderr
