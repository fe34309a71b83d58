"""The deployer may do what bringing the chart takes, and nothing else."""

import re

import pytest
from chart import DEPLOYER, NAMESPACE, RENDERINGS, wait_until_empty, create_prerequisites, render
from permissions import ELSEWHERE, EVERYWHERE, RBAC, ROLES, WRITE, accesses

from harness.kubernetes import Subject, documents

ROLE = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{NAMESPACE}/roles/shoutback-deployer"


@pytest.fixture(scope="module")
def everything():
    """One object of each kind that some rendering has; of one rendering, where it has them."""
    kinds = {}
    for name in ("everything", *RENDERINGS):
        for thing in render(RENDERINGS[name][1]).objects:
            kinds.setdefault(thing["kind"], thing)
    return list(kinds.values())


@pytest.fixture(scope="module")
def allowed(clusters):
    """What the role says: pairs of verb and resource."""
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


def asked(cluster, *command, things):
    """What kubectl asked for: pairs of verb and resource."""
    text = cluster.kubectl(*command, "--filename=-", "-v=6", subject=DEPLOYER, stdin=documents(things)).stderr
    requests = REQUEST.findall(text)
    assert requests, text
    pairs = set()
    for method, group, resource, status in requests:
        assert status[0] == "2" or status == "404", (method, resource, status)
        pairs.add((VERBS[method], f"{resource}.{group}".rstrip(".")))
        # To apply what is not there yet is to create it, and is authorized as that, too.
        if method == "PATCH" and status == "201":
            pairs.add(("create", f"{resource}.{group}".rstrip(".")))
    return pairs


def test_each_right_is_used_and_no_other_is_needed(clusters, everything, allowed):
    """By either way that Argo CD has to apply things, when they are new and when they are not, and by removal."""
    cluster, used = clusters["production"], set()
    create_prerequisites(cluster, everything)
    for command in (["apply", "--server-side"], ["apply"]):
        used |= asked(cluster, *command, things=everything)
        for thing in everything:
            thing["metadata"].setdefault("annotations", {})["test"] = command[-1]
        used |= asked(cluster, *command, things=everything)
        used |= asked(cluster, "delete", "--wait=false", things=everything)
        wait_until_empty(cluster)
    assert used == allowed


def role_object(kind, name, **rest):
    return {"apiVersion": f"{RBAC}/v1", "kind": kind, "metadata": {"name": name, "namespace": NAMESPACE}} | rest


def reference(kind, name):
    return {"apiGroup": RBAC, "kind": kind, "name": name}


def test_without_one_resource_the_install_fails(clusters, everything, allowed):
    """For each resource, as somebody who has all the deployer's rights but those on it."""
    cluster = clusters["production"]
    rules = cluster.api.get(ROLE)["rules"]
    resources = sorted({resource for _, resource in allowed})
    made = []
    for missing in resources:
        left = [
            rule | {"resources": [resource]}
            for rule in rules
            for resource in rule["resources"]
            if f"{resource}.{rule['apiGroups'][0]}".rstrip(".") != missing
        ]
        name = f"without-{missing}"
        subjects = [{"apiGroup": RBAC, "kind": "User", "name": name}]
        made.append(role_object("Role", name, rules=left))
        made.append(role_object("RoleBinding", name, roleRef=reference("Role", name), subjects=subjects))
    cluster.apply(made)
    try:
        for missing in resources:
            result = cluster.apply(everything, "--dry-run=server", subject=Subject(f"without-{missing}"), check=False)
            assert result.returncode != 0
            forbidden = set(re.findall(r'is forbidden: .* cannot patch resource "(\w+)" in API group "([\w.]*)"', result.stderr))
            assert {f"{resource}.{group}".rstrip(".") for resource, group in forbidden} == {missing}, result.stderr
    finally:
        cluster.kubectl("delete", "--filename=-", "--wait=false", stdin=documents(made))


NEVER = {
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


@pytest.mark.parametrize("what", NEVER)
def test_it_may_not(cluster, what):
    wrong = [access for access in NEVER[what] if access.allowed(cluster.api, DEPLOYER)]
    assert not wrong


def test_what_the_chart_does_not_have_is_refused(cluster):
    """A commit that slips in another kind does not get through."""
    binding = role_object("RoleBinding", "more", roleRef=reference("ClusterRole", "view"))
    metadata = {"name": "more", "namespace": NAMESPACE}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata}
    for thing in (binding, secret, job):
        result = cluster.apply([thing], "--dry-run=server", subject=DEPLOYER, check=False)
        assert result.returncode != 0 and "forbidden" in result.stderr, result.stderr
