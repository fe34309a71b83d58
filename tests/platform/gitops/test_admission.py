"""A real API server takes all of it, and the policy of images refuses what it should."""

import copy
import os
from pathlib import Path

import pytest

from conftest import ENVIRONMENTS
from harness.kubernetes import ControlPlane

CRDS = [
    Path(os.environ["CRDS"]) / name
    for name in (
        "argo-cd",
        "argo-rollouts/analysis-template-crd.yaml",
        "argo-rollouts/rollout-crd.yaml",
        "cert-manager",
        "elastic/elasticsearch.k8s.elastic.co_elasticsearches.yaml",
        "elastic/kibana.k8s.elastic.co_kibanas.yaml",
        "gateway-api/gateway.networking.k8s.io_httproutes.yaml",
        "policy-controller",
        "prometheus-operator/monitoring.coreos.com_podmonitors.yaml",
        "prometheus-operator/monitoring.coreos.com_prometheusrules.yaml",
        "prometheus-operator/monitoring.coreos.com_servicemonitors.yaml",
    )
]
# Whose own definitions are another version's, or huge; they bring them, and here they are there.
DEFINITIONS = "CustomResourceDefinition"
OURS = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/shoutback"
DIGEST = "@sha256:" + "0" * 64


@pytest.fixture(scope="module")
def cluster(tmp_path_factory, released):
    with ControlPlane(tmp_path_factory.mktemp("cluster"), CRDS) as cluster:
        yield cluster


def namespaces(applications):
    return sorted({application.namespace for application in applications.values()} - {"kube-system", "shoutback"})


def bring(cluster, applications):
    """As Argo CD does: in the order of waves, with a namespace made where there is none."""
    for name in namespaces(applications):
        cluster.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}])
    for application in sorted(applications.values(), key=lambda one: (one.name != "root", one.wave)):
        things = [copy.deepcopy(thing) for thing in application.objects if thing["kind"] not in (DEFINITIONS, "APIService") and not webhook(thing)]
        # Argo CD gives the namespace to what has none; the server takes it from whatever has one in a cluster's scope.
        if things:
            cluster.apply(sorted(things, key=order), "--force-conflicts", f"--namespace={application.namespace}")


def webhook(thing):
    """It would be asked, and nobody answers."""
    return thing["kind"] in ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration")


def order(thing):
    """Namespaces and accounts first, as Argo CD has it within a wave."""
    kinds = ["Namespace", "ServiceAccount", "Secret", "ConfigMap", "ClusterRole", "Role"]
    return kinds.index(thing["kind"]) if thing["kind"] in kinds else len(kinds)


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_all_is_admitted(cluster, released, name):
    applications = released.applications[name]
    bring(cluster, applications)
    there = {item["metadata"]["name"] for item in cluster.api.get("/apis/argoproj.io/v1alpha1/namespaces/argocd/applications")["items"]}
    assert there >= applications.keys() - {"root"}
    root = applications["root"].manifest
    root["metadata"]["namespace"] = "argocd"
    cluster.apply([root])
    assert cluster.api.get("/apis/apps/v1/namespaces/monitoring/daemonsets/otel-collector")


def test_misspelt_it_would_not_be(cluster, released):
    wrong = copy.deepcopy(next(thing for thing in released.applications["staging"]["root"].objects if thing["kind"] == "Application"))
    wrong["spec"]["sources"][0]["targetRevison"] = "x"
    refused = cluster.apply([wrong], "--force-conflicts", check=False)
    assert refused.returncode != 0 and "targetRevison" in refused.stderr


@pytest.fixture(scope="module")
def policy(cluster, released):
    """The policy in force: the API server needs a moment to take notice of it."""
    # Whose quota has room for more.
    bring(cluster, released.applications["production"])
    bad = pod(service="nginx:latest")
    cluster.apiserver.until("the policy is in force", lambda: "shoutback-images" in create(cluster, bad).text)
    return cluster


def pod(service=None, sidecar=None, init=None, name="policy"):
    secure = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    resources = {part: {"cpu": "10m", "memory": "16Mi", "ephemeral-storage": "16Mi"} for part in ("requests", "limits")}

    def container(called, image):
        return {"name": called, "image": image, "securityContext": secure, "resources": resources}

    containers = [container(called, image) for called, image in (("shoutback", service), ("sidecar", sidecar)) if image]
    spec = {"containers": containers, "initContainers": [container("init", init)] if init else []}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def create(cluster, thing, namespace="shoutback"):
    return cluster.api.call("POST", f"/api/v1/namespaces/{namespace}/pods?dryRun=All", thing)


GOOD = f"{OURS}:{'a' * 40}{DIGEST}"


@pytest.mark.parametrize(
    "good",
    [
        pod(service=GOOD),
        pod(service=GOOD, sidecar="elastic/filebeat:9.2.1"),
        pod(service=GOOD, sidecar="localhost:5000/filebeat:9.2.1"),
        pod(sidecar=f"localhost:5000/filebeat{DIGEST}"),
        pod(sidecar=f"elastic/filebeat:latest{DIGEST}", init="curlimages/curl:8.17.0"),
    ],
)
def test_images_that_are_let_in(policy, good):
    answer = create(policy, good)
    assert answer.status == 201, answer.text


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (pod(service=f"{OURS}:{'a' * 40}"), "COMMIT@sha256:DIGEST"),
        (pod(service=f"{OURS}{DIGEST}"), "COMMIT@sha256:DIGEST"),
        (pod(service=f"{OURS}:v1{DIGEST}"), "COMMIT@sha256:DIGEST"),
        (pod(service=f"{OURS}-other:{'a' * 40}{DIGEST}"), "COMMIT@sha256:DIGEST"),
        (pod(service=f"evil.example/{GOOD}"), "COMMIT@sha256:DIGEST"),
        (pod(service=f"docker.io/library/shoutback:{'a' * 40}{DIGEST}"), "COMMIT@sha256:DIGEST"),
        (pod(service=GOOD, sidecar="elastic/filebeat"), "say which version: elastic/filebeat"),
        (pod(service=GOOD, sidecar="elastic/filebeat:latest"), "say which version: elastic/filebeat:latest"),
        (pod(service=GOOD, sidecar="localhost:5000/filebeat"), "say which version"),
        (pod(service=GOOD, init="curlimages/curl"), "say which version: curlimages/curl"),
    ],
)
def test_images_that_are_refused(policy, bad, says):
    answer = create(policy, bad)
    assert answer.status == 403 and "shoutback-images" in answer.text, answer.text
    assert says in answer.json["message"]


def test_it_is_about_the_services_namespace_only(policy):
    assert create(policy, pod(sidecar="nginx"), namespace="monitoring").status == 201


def test_an_ephemeral_container_is_asked_too(policy):
    answer = policy.api.call("POST", "/api/v1/namespaces/shoutback/pods", pod(service=GOOD, name="debugged"))
    assert answer.status == 201, answer.text
    path = "/api/v1/namespaces/shoutback/pods/debugged/ephemeralcontainers"
    for image, status in (("busybox", 403), ("busybox:1.37.0", 200)):
        running = policy.api.get("/api/v1/namespaces/shoutback/pods/debugged")
        secure = running["spec"]["containers"][0]["securityContext"]
        running["spec"]["ephemeralContainers"] = [{"name": "debug", "image": image, "securityContext": secure}]
        answer = policy.api.call("PUT", path, running)
        assert answer.status == status, answer.text


def test_the_releases_pods_are_let_in(policy, released):
    deployment = released.applications["production"]["shoutback"].one("Deployment")
    template = deployment["spec"]["template"]
    answer = create(policy, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "released"} | template["metadata"], "spec": template["spec"]})
    assert answer.status == 201, answer.text


def test_with_signatures_it_is_admitted(cluster, switched):
    [policy] = [thing for thing in switched("signatures")["root"].objects if thing["kind"] == "ClusterImagePolicy"]
    # Between its versions a webhook of the controller's converts, which is not here.
    convert = '{"spec":{"conversion":{"strategy":"None","webhook":null}}}'
    cluster.kubectl("patch", "crd", "clusterimagepolicies.policy.sigstore.dev", "--type=merge", f"--patch={convert}")
    cluster.apply([policy])


def test_as_a_canary_it_is_admitted(policy, switched):
    applications = switched("canary")
    policy.apply([*applications["root"].objects, *applications["canary"].objects], "--force-conflicts")
