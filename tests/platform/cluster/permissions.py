"""The rows of docs/teams.md as permissions of the API server."""

import itertools
import re
from dataclasses import dataclass
from pathlib import Path

from harness.kubernetes import Subject

DOCUMENT = Path(__file__).parents[3] / "docs/teams.md"
TEAMS = {team: Subject(f"somebody-of-{team}", (f"shoutback-{team}",)) for team in ("developers", "sre", "break-glass", "auditors")}

READ = ("get", "list", "watch")
WRITE = ("create", "update", "patch", "delete", "deletecollection")
EDIT = ("create", "update", "patch", "delete")
CHANGE = ("update", "patch")
HERE, ELSEWHERE, EVERYWHERE = ("shoutback",), ("default", "kube-system", "argocd", "monitoring", "logging"), ("",)

CERTIFICATES, GATEWAY, MONITORING = "cert-manager.io", "gateway.networking.k8s.io", "monitoring.coreos.com"
RBAC = "rbac.authorization.k8s.io"


@dataclass(frozen=True)
class Access:
    verb: str
    group: str
    resource: str
    namespace: str
    name: str = ""

    def allowed(self, api, subject):
        return api.is_allowed(subject, self.verb, self.resource, self.namespace, self.name, self.group)


def accesses(verbs, *resources, namespaces=HERE, name=""):
    """Returns an access for each verb, resource and namespace. A resource is RESOURCE or GROUP:RESOURCE."""
    result = set()
    for verb, resource, namespace in itertools.product(verbs, resources, namespaces):
        group, _, resource = resource.rpartition(":")
        result.add(Access(verb, group, resource, namespace, name))
    return result


CORE = ("configmaps", "pods", "services")
CORE_BESIDE = ("endpoints", "events", "limitranges", "resourcequotas", "serviceaccounts")
AUTOSCALERS, BUDGETS = "autoscaling:horizontalpodautoscalers", "policy:poddisruptionbudgets"
NETWORK = ("networking.k8s.io:ingresses", f"{GATEWAY}:httproutes", "networking.k8s.io:networkpolicies")
MONITORS = (f"{MONITORING}:servicemonitors", f"{MONITORING}:prometheusrules")
ROLES = tuple(f"{RBAC}:{kind}" for kind in ("roles", "rolebindings"))
CLUSTER_ROLES = tuple(f"{RBAC}:{kind}" for kind in ("clusterroles", "clusterrolebindings"))
STREAMS = ("pods/exec", "pods/attach")

ROWS = {
    "read the service's objects and their events": accesses(
        READ,
        *CORE,
        *CORE_BESIDE,
        "apps:deployments",
        "apps:replicasets",
        AUTOSCALERS,
        BUDGETS,
        *NETWORK,
        *MONITORS,
        f"{CERTIFICATES}:certificates",
        f"{CERTIFICATES}:certificaterequests",
        "acme.cert-manager.io:orders",
        "acme.cert-manager.io:challenges",
        "discovery.k8s.io:endpointslices",
        "events.k8s.io:events",
    )
    | accesses(["get", "list"], "metrics.k8s.io:pods"),
    "read logs": accesses(["get"], "pods/log"),
    "forward ports to pods": accesses(["get", "create"], "pods/portforward"),
    "patch, scale, restart, roll back deployments": accesses(CHANGE, "apps:deployments", "apps:deployments/scale"),
    "delete or evict pods": accesses(["delete"], "pods") | accesses(["create"], "pods/eviction"),
    "change services, renew certificates": accesses(
        CHANGE, "services", f"{CERTIFICATES}:certificates", f"{CERTIFICATES}:certificates/status"
    ),
    "make, change, remove config maps, autoscalers, disruption budgets": accesses(EDIT, "configmaps", AUTOSCALERS, BUDGETS),
    "make, change, remove ingresses, HTTP routes, network policies": accesses(EDIT, *NETWORK),
    "make, change, remove service monitors, rules": accesses(EDIT, *MONITORS),
    "run commands in pods, attach to them, add containers to them": accesses(["get", "create"], *STREAMS)
    | accesses(CHANGE, "pods/ephemeralcontainers"),
    "make pods or jobs; make or remove deployments, services": accesses(["create"], "pods", "batch:jobs", "batch:cronjobs")
    | accesses(["create", "delete", "deletecollection"], "services", "apps:deployments", "apps:statefulsets", "apps:daemonsets")
    | accesses(WRITE, "apps:replicasets")
    | accesses(["update", "patch", "deletecollection"], "pods"),
    "read or write secrets, here or elsewhere": accesses([*READ, *WRITE], "secrets", namespaces=HERE + ELSEWHERE + EVERYWHERE),
    "make tokens of service accounts; change service accounts": accesses(WRITE, "serviceaccounts", "serviceaccounts/token")
    | accesses(["create"], "serviceaccounts/token", name="deployer")
    | accesses(["create"], "serviceaccounts/token", namespaces=ELSEWHERE),
    "reach pods, services or nodes through the API server's proxy": accesses(
        [*READ, *WRITE], "pods/proxy", "services/proxy", namespaces=HERE + ELSEWHERE
    )
    | accesses([*READ, *WRITE], "nodes/proxy", namespaces=EVERYWHERE),
    "change quota, limits or the namespace": accesses(WRITE, "resourcequotas", "limitranges")
    | accesses(WRITE, "namespaces", namespaces=HERE, name="shoutback")
    | accesses(["create"], "namespaces", namespaces=EVERYWHERE),
    "read nodes, namespaces and events of the cluster": accesses(
        READ, "nodes", "namespaces", "events", "events.k8s.io:events", namespaces=EVERYWHERE
    )
    | accesses(["get", "list"], "metrics.k8s.io:nodes", namespaces=EVERYWHERE),
    "change, cordon or drain nodes": accesses([*WRITE, "approve"], "nodes", "nodes/status", namespaces=EVERYWHERE)
    | accesses(["create"], "pods/eviction", namespaces=ELSEWHERE)
    | accesses(["delete"], "pods", namespaces=ELSEWHERE),
    "read everything else in the cluster, roles and bindings included": accesses(
        READ, *ROLES, "apps:statefulsets", "batch:jobs", namespaces=ELSEWHERE + EVERYWHERE
    )
    | accesses(READ, *ROLES)
    | accesses(READ, "configmaps", "pods", "services", "serviceaccounts", "apps:deployments", namespaces=ELSEWHERE)
    | accesses(READ, *CLUSTER_ROLES, "persistentvolumes", "storage.k8s.io:storageclasses", namespaces=EVERYWHERE)
    | accesses(READ, "apiextensions.k8s.io:customresourcedefinitions", "argoproj.io:applications", namespaces=EVERYWHERE)
    | accesses(READ, "elasticsearch.k8s.elastic.co:elasticsearches", "k8s.nginx.org:policies", namespaces=EVERYWHERE),
    "read logs of other namespaces": accesses(["get"], "pods/log", namespaces=ELSEWHERE + EVERYWHERE),
    "change anything in other namespaces": accesses(
        WRITE,
        "pods",
        "configmaps",
        "services",
        "serviceaccounts",
        "apps:deployments",
        "apps:deployments/scale",
        "apps:daemonsets",
        *NETWORK,
        *MONITORS,
        AUTOSCALERS,
        BUDGETS,
        "argoproj.io:applications",
        "argoproj.io:appprojects",
        namespaces=ELSEWHERE,
    )
    | accesses(["get", "create"], *STREAMS, "pods/portforward", namespaces=ELSEWHERE)
    | accesses(CHANGE, "pods/ephemeralcontainers", namespaces=ELSEWHERE),
    "change roles or bindings; bind, escalate, impersonate": accesses(
        [*WRITE, "bind", "escalate"], *ROLES, namespaces=HERE + ELSEWHERE
    )
    | accesses([*WRITE, "bind", "escalate"], *CLUSTER_ROLES, namespaces=EVERYWHERE)
    | accesses(["impersonate"], "users", "groups", "serviceaccounts", namespaces=EVERYWHERE)
    | accesses(["impersonate"], "serviceaccounts", namespaces=HERE + ELSEWHERE)
    | accesses(["impersonate"], "serviceaccounts", name="deployer"),
}


def table():
    """Returns the table of the document by row and team: `yes`, `staging` or `–`."""
    lines = [re.split(r" *\| *", line.strip("| \n")) for line in DOCUMENT.read_text().splitlines() if line.startswith("|")]
    header = lines[0]
    assert header == ["what", *TEAMS], header
    rows = {}
    for line in lines[2:]:
        if len(line) != len(header):
            break
        rows[line[0]] = dict(zip(header[1:], line[1:], strict=True))
    return rows


def environments(cell):
    """Returns the environments that a cell permits."""
    return {"yes": {"staging", "production"}, "staging": {"staging"}, "–": set()}[cell]
