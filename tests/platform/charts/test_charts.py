"""Every chart of gitops/platform at its pinned version with the environments' values: is it the same each time, and what may its accounts do?"""

import copy
import re

import pytest
import yaml

from conftest import ENVIRONMENTS, TOP, cluster_wide, pods, rbac, rendered


@pytest.fixture(params=ENVIRONMENTS)
def environment(request):
    return request.param


@pytest.fixture
def things(environment):
    return rendered(environment)


def test_each_chart_renders_the_same_twice(environment):
    """A certificate or password that a chart makes while it is rendered would change in Argo CD at each release."""
    first, second = rendered(environment), rendered(environment, again=1)
    for name, objects in first.items():
        assert objects == second[name], name


def test_the_controllers_watch_the_namespace_of_their_service(things):
    for name in ("nginx-ingress", "nginx-internal"):
        [arguments] = [container["args"] for _, spec in pods(things[name]) for container in spec["containers"] if "args" in container]
        given = dict(argument.lstrip("-").split("=", 1) for argument in arguments if "=" in argument)
        watched = given["watch-namespace"].split(",")
        [service] = [thing for thing in things[name] if thing["kind"] == "Service" and thing["metadata"]["name"] == given["external-service"]]
        assert service["metadata"]["namespace"] in watched and service["spec"]["type"] == "LoadBalancer"
        assert service["spec"]["loadBalancerClass"] == "eks.amazonaws.com/nlb"
        assert given["watch-secret-namespace"] not in (name, "")
        [deployment] = [thing for thing in things[name] if thing["kind"] == "Deployment"]
        assert deployment["spec"]["minReadySeconds"] >= 180


def test_who_reads_secrets_of_other_namespaces_is_documented(things, environment):
    table = (TOP / "gitops/README.md").read_text().partition("These accounts read those")[2].partition("## Web")[0]
    documented = {account for row in re.findall(r"^\| (`.*?) \|", table, re.M) for account in re.findall(r"`([a-z0-9-]+/[a-z0-9-]+)`", row)}
    found = set()
    for account, namespace, rule in rbac(things):
        if reads_secrets(rule) and namespace != account.partition("/")[0]:
            found.add(account)
    assert found == documented


def reads_secrets(rule):
    groups, resources, verbs = (set(rule.get(part, [])) for part in ("apiGroups", "resources", "verbs"))
    return groups & {"", "*"} and resources & {"secrets", "*"} and verbs & {"get", "list", "watch", "*"} and not rule.get("resourceNames")


def test_no_account_escalates(things):
    """None but Argo CD's may impersonate, bind or escalate, or change roles."""
    allowed = {"argocd/argocd-application-controller", "argocd/argocd-server", "argocd/platform"}
    for account, namespace, rule in rbac(things):
        groups, resources, verbs = (set(rule.get(part, [])) for part in ("apiGroups", "resources", "verbs"))
        dangerous = verbs & {"impersonate", "bind", "escalate"} or (
            groups & {"rbac.authorization.k8s.io", "*"}
            and resources & {"roles", "clusterroles", "rolebindings", "clusterrolebindings", "*"}
            and verbs & {"create", "update", "patch", "*"}
        )
        assert not dangerous or account in allowed, (account, namespace, rule)


def test_the_question_finds_a_reader():
    """Otherwise the tests above could not fail."""
    binding = {"kind": "ClusterRoleBinding", "metadata": {"name": "b"}, "roleRef": {"kind": "ClusterRole", "name": "r"}, "subjects": [{"kind": "ServiceAccount", "name": "a", "namespace": "n"}]}
    role = {"kind": "ClusterRole", "metadata": {"name": "r"}, "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["list"]}]}
    [(account, namespace, rule)] = rbac({"x": [role, binding]})
    assert (account, namespace) == ("n/a", cluster_wide) and reads_secrets(rule)
    narrow = copy.deepcopy(role)
    narrow["rules"][0]["resourceNames"] = ["one"]
    assert not any(reads_secrets(rule) for _, _, rule in rbac({"x": [narrow, binding]}))


def test_pods_of_each_namespace_satisfy_its_pod_security(control_plane, things):
    """A real API server admits a pod of each workload; those that operators create are not among them."""
    levels = {thing["metadata"]["name"]: thing for thing in things["platform"] if thing["kind"] == "Namespace"}
    for namespace in levels.values():
        control_plane.apply([namespace], "--force-conflicts")
    rejected = []
    for name, objects in things.items():
        for workload, spec in pods(objects):
            namespace = workload["metadata"].get("namespace")
            if namespace not in levels:
                continue
            spec = {part: value for part, value in spec.items() if part not in ("serviceAccountName", "serviceAccount", "priorityClassName")}
            pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod", "namespace": namespace}, "spec": {"restartPolicy": "Always"} | spec}
            response = control_plane.api.call("POST", f"/api/v1/namespaces/{namespace}/pods?dryRun=All", pod)
            if response.status == 403 and "violates PodSecurity" in response.text:
                rejected.append(f"{name}: {response.json['message'][:300]}")
    assert not rejected, "\n".join(rejected)


def test_versions_of_one_chart_are_equal():
    applications = yaml.safe_load((TOP / "gitops/platform/values.yaml").read_text())["applications"]
    versions = {}
    for name, application in applications.items():
        if "repository" in application:
            versions.setdefault((application["repository"], application.get("chart", name)), set()).add(application["version"])
    assert all(len(found) == 1 for found in versions.values()), versions
