"""A real API server admits all objects, and the image policy rejects other images."""

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
        "cert-manager",
        "elastic/elasticsearches.elasticsearch.k8s.elastic.co.yaml",
        "elastic/kibanas.kibana.k8s.elastic.co.yaml",
        "gateway-api/gateway.networking.k8s.io_httproutes.yaml",
        "prometheus-operator/monitoring.coreos.com_podmonitors.yaml",
        "prometheus-operator/monitoring.coreos.com_probes.yaml",
        "prometheus-operator/monitoring.coreos.com_prometheusrules.yaml",
        "prometheus-operator/monitoring.coreos.com_servicemonitors.yaml",
    )
] + [Path(__file__).parent / "auto-mode.yaml"]
# Applications with their own definitions, which are of another version or huge; here they are installed already.
DEFINITIONS = "CustomResourceDefinition"
REPOSITORY = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/shoutback"
DIGEST = "@sha256:" + "0" * 64


@pytest.fixture(scope="module")
def cluster(tmp_path_factory, released):
    with ControlPlane(tmp_path_factory.mktemp("cluster"), CRDS) as cluster:
        yield cluster


def namespaces(applications):
    """Returns the namespaces that exist before the platform: Argo CD's, and those that this order of applications needs."""
    return ["argocd", *sorted({application.namespace for application in applications.values()} - {"argocd", "kube-system", "shoutback"})]


def install(cluster, applications):
    """Installs the applications as Argo CD does: in the order of waves, with missing namespaces created."""
    for name in namespaces(applications):
        cluster.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}])
    steps = {}
    for application in applications.values():
        for thing in application.objects:
            if thing["kind"] not in (DEFINITIONS, "APIService") and not webhook(thing):
                # The platform has the waves of its objects, among them those of the other applications.
                wave = own_wave(thing) if application.name == "platform" else application.wave
                # Argo CD sets missing namespaces; with this option kubectl rejects objects that have another one.
                flags = () if "namespace" in thing["metadata"] else (f"--namespace={application.namespace}",)
                steps.setdefault((wave, application.name != "platform", application.name, flags == ()), (flags, []))[1].append(copy.deepcopy(thing))
    for _, (flags, things) in sorted(steps.items()):
        cluster.apply(sorted(things, key=order), "--force-conflicts", *flags)


def own_wave(thing):
    return int(thing["metadata"].get("annotations", {}).get("argocd.argoproj.io/sync-wave", 0))


def webhook(thing):
    """Returns whether the object is a webhook, which would be called, but nothing serves it here."""
    return thing["kind"] in ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration")


def order(thing):
    """Returns the sort key for the order within a wave: namespaces and service accounts first, as Argo CD does."""
    kinds = ["Namespace", "ServiceAccount", "Secret", "ConfigMap", "ClusterRole", "Role"]
    return kinds.index(thing["kind"]) if thing["kind"] in kinds else len(kinds)


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_all_objects_are_admitted(cluster, released, name):
    applications = released.applications[name]
    install(cluster, applications)
    existing = {item["metadata"]["name"] for item in cluster.api.get("/apis/argoproj.io/v1alpha1/namespaces/argocd/applications")["items"]}
    generated = ("platform", "shoutback")
    assert existing >= applications.keys() - set(generated)
    for name in generated:
        applications[name].manifest["metadata"]["namespace"] = "argocd"
        cluster.apply([applications[name].manifest])
    assert cluster.api.get("/apis/apps/v1/namespaces/monitoring/daemonsets/otel-collector")


def test_a_misspelt_object_is_rejected(cluster, released):
    wrong = copy.deepcopy(next(thing for thing in released.applications["staging"]["platform"].objects if thing["kind"] == "Application"))
    wrong["spec"]["sources"][0]["targetRevison"] = "x"
    rejected = cluster.apply([wrong], "--force-conflicts", check=False)
    assert rejected.returncode != 0 and "targetRevison" in rejected.stderr


@pytest.fixture(scope="module")
def policy(cluster, released):
    """Yields the cluster once the policy is in force, which takes the API server a moment."""
    # Production's quota suffices for the test pods.
    install(cluster, released.applications["production"])
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


CACHE = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
GOOD = f"{REPOSITORY}:{'a' * 40}{DIGEST}"


@pytest.mark.parametrize(
    "good",
    [
        pod(service=GOOD),
        pod(service=GOOD, sidecar=GOOD),
        pod(service=GOOD, sidecar="docker.elastic.co/beats/filebeat:9.2.1"),
        pod(sidecar=f"docker.elastic.co/beats/filebeat{DIGEST}"),
        pod(sidecar=f"docker.elastic.co/beats/filebeat:9.2.1{DIGEST}", init="quay.io/curl/curl:8.17.0"),
    ],
)
def test_images_that_are_admitted(policy, good):
    response = create(policy, good)
    assert response.status == 201, response.text


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (pod(service=f"{REPOSITORY}:{'a' * 40}"), "COMMIT@sha256:DIGEST"),
        (pod(service=f"{REPOSITORY}{DIGEST}"), "COMMIT@sha256:DIGEST"),
        (pod(service=f"{REPOSITORY}:v1{DIGEST}"), "COMMIT@sha256:DIGEST"),
        (pod(service=f"{REPOSITORY}-other:{'a' * 40}{DIGEST}"), "COMMIT@sha256:DIGEST"),
        (pod(service=f"evil.example/{GOOD}"), "COMMIT@sha256:DIGEST"),
        (pod(service=f"docker.io/library/shoutback:{'a' * 40}{DIGEST}"), "COMMIT@sha256:DIGEST"),
        (pod(service=GOOD, sidecar="docker.elastic.co/beats/filebeat"), "without a version: docker.elastic.co/beats/filebeat"),
        (pod(service=GOOD, sidecar="docker.elastic.co/beats/filebeat:latest"), "without a version: docker.elastic.co/beats/filebeat:latest"),
        (pod(service=GOOD, init="quay.io/curl/curl"), f"without a version: {CACHE}/quay.io/curl/curl"),
        # Any image that has a version, under another container's name.
        (pod(service=GOOD, sidecar="nginx:1.29.0"), "not listed, or without a version: nginx:1.29.0"),
        (pod(service=GOOD, sidecar=f"nginx{DIGEST}"), "not listed"),
        (pod(service=GOOD, sidecar="localhost:5000/beats/filebeat:9.2.1"), "not listed"),
        (pod(service=GOOD, sidecar="docker.elastic.co/beats/filebeat-other:9.2.1"), "not listed"),
        (pod(service=GOOD, sidecar="docker.elastic.co/beats/filebeat:9.2.1/other:1"), "not listed"),
        (pod(service=GOOD, sidecar=f"{REPOSITORY}:{'a' * 40}"), "not listed"),
        (pod(service=GOOD, init="quay.io/curl/curl:8.17.0:1"), "not listed"),
    ],
)
def test_images_that_are_rejected(policy, bad, message):
    response = create(policy, bad)
    assert response.status == 403 and "shoutback-images" in response.text, response.text
    assert message in response.json["message"]


def test_it_applies_only_to_the_services_namespace(policy):
    assert create(policy, pod(sidecar="nginx"), namespace="monitoring").status == 201


@pytest.mark.parametrize(
    ("image", "pulled"),
    [
        ("quay.io/prometheus/blackbox-exporter:v0.27.0", f"{CACHE}/quay.io/prometheus/blackbox-exporter:v0.27.0"),
        (f"registry.k8s.io/kube-state-metrics{DIGEST}", f"{CACHE}/registry.k8s.io/kube-state-metrics{DIGEST}"),
        # Docker Hub is cached only with an account there; others not at all.
        ("nginx:1.29.0", "nginx:1.29.0"),
        ("grafana/grafana:12", "grafana/grafana:12"),
        ("docker.elastic.co/eck/eck-operator:3", "docker.elastic.co/eck/eck-operator:3"),
        (GOOD, GOOD),
    ],
)
def test_images_come_from_the_cache(policy, image, pulled):
    policy.apiserver.until("the policy is in force", lambda: CACHE in create(policy, pod(sidecar="quay.io/any/image:1"), namespace="monitoring").text)
    response = create(policy, pod(service=image, init=image), namespace="monitoring")
    assert response.status == 201, response.text
    spec = response.json["spec"]
    assert [container["image"] for container in spec["containers"] + spec["initContainers"]] == [pulled, pulled]
    # Nothing else of a container changes.
    assert spec["containers"][0]["resources"]["limits"] == {"cpu": "10m", "memory": "16Mi", "ephemeral-storage": "16Mi"}
    without = create(policy, pod(sidecar=image), namespace="monitoring")
    assert without.status == 201 and "initContainers" not in without.json["spec"]


def test_a_monitor_may_not_send_prometheus_files(policy):
    """It would send Prometheus' own token, which lists the cluster, to a pod that its author controls."""

    def monitor(**endpoint):
        metadata = {"name": "any", "namespace": "shoutback"}
        spec = {"selector": {}, "endpoints": [{"port": "http"}, {"port": "http"} | endpoint]}
        thing = {"apiVersion": "monitoring.coreos.com/v1", "kind": "ServiceMonitor", "metadata": metadata, "spec": spec}
        return policy.api.call("POST", "/apis/monitoring.coreos.com/v1/namespaces/shoutback/servicemonitors?dryRun=All", thing)

    token = "/var/run/secrets/kubernetes.io/serviceaccount/token"
    policy.apiserver.until("the policy is in force", lambda: monitor(bearerTokenFile=token).status != 201)
    for wrong in ({"bearerTokenFile": token}, *({"tlsConfig": {part: token}} for part in ("caFile", "certFile", "keyFile"))):
        response = monitor(**wrong)
        assert response.status == 403 and "shoutback-monitors" in response.text, (wrong, response.text)
    assert monitor().status == 201
    assert monitor(tlsConfig={"insecureSkipVerify": True}).status == 201


def test_definitions_of_the_operator_are_those_that_it_ships(cluster, released):
    """The generator's own output requires containers in every pod template, which the operator omits."""
    thing = copy.deepcopy(released.applications["staging"]["logging"].one("Elasticsearch"))
    thing["metadata"] = {"name": "plain", "namespace": "default"}
    for template in ({}, {"spec": {}}, {"metadata": {"labels": {"a": "b"}}}):
        thing["spec"]["nodeSets"][0]["podTemplate"] = template
        cluster.apply([thing], "--dry-run=server")


def test_it_applies_to_ephemeral_containers(policy):
    response = policy.api.call("POST", "/api/v1/namespaces/shoutback/pods", pod(service=GOOD, name="debugged"))
    assert response.status == 201, response.text
    path = "/api/v1/namespaces/shoutback/pods/debugged/ephemeralcontainers"
    for image, status in (("quay.io/curl/curl", 403), ("busybox:1.37.0", 403), ("quay.io/curl/curl:8.17.0", 200)):
        running = policy.api.get("/api/v1/namespaces/shoutback/pods/debugged")
        secure = running["spec"]["containers"][0]["securityContext"]
        running["spec"]["ephemeralContainers"] = [{"name": "debug", "image": image, "securityContext": secure}]
        response = policy.api.call("PUT", path, running)
        assert response.status == status, response.text


def test_the_pods_of_the_release_are_admitted(policy, released):
    deployment = released.applications["production"]["shoutback"].one("Deployment")
    template = deployment["spec"]["template"]
    response = create(policy, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "released"} | template["metadata"], "spec": template["spec"]})
    assert response.status == 201, response.text
