"""The controller's options in the manifests: each is documented, and their numbers are consistent."""

import re
from pathlib import Path

import pytest
import yaml

import controller
import manifests

DOCUMENTED = {
    tuple(line.split()[:2])
    for line in (Path(__file__).parent / "f5-options").read_text().splitlines()
    if not line.startswith("#")
}

# Read by Kubernetes or NGINX, not by the chart.
HANDED_ON = {
    "controller.config.entries",
    "controller.lifecycle",
    "controller.resources",
    "controller.service.annotations",
    "controller.service.loadBalancerClass",
    "controller.strategy",
    "controller.topologySpreadConstraints",
}


def paths(values, before=""):
    for name, value in values.items():
        path = f"{before}.{name}" if before else name
        if isinstance(value, dict) and path not in HANDED_ON:
            yield from paths(value, path)
        else:
            yield path


def annotations():
    """Yields the annotations of every way to end TLS."""
    for environment in manifests.ENVIRONMENTS:
        for tls in ({}, {"certManager": {"issuer": ""}, "secretName": "mine"}):
            yield from manifests.ingress_of(manifests.of_environment(environment, tls=tls))["metadata"]["annotations"]


def used():
    for environment in manifests.ENVIRONMENTS:
        values = manifests.controller_values(environment)
        yield from (("value", path) for path in paths(values))
        yield from (("key", key) for key in values["controller"]["config"]["entries"])
    yield from (("annotation", name) for name in annotations() if name.startswith("nginx.org/"))


def test_the_documented_options_are_the_used_ones():
    assert set(used()) == DOCUMENTED


def test_the_generator_rejects_other_options():
    """An unknown annotation, key or value is an error."""
    for entries, annotations_of_ingress in [
        ({"http3": "true"}, {}),
        ({"limit-req-rate": "1r/s"}, {}),
        ({}, {"nginx.org/server-snippets": "deny all;"}),
        ({}, {"nginx.org/limit-req-dry-run": "true"}),
        ({}, {"nginx.ingress.kubernetes.io/limit-rps": "1"}),
    ]:
        with pytest.raises(controller.Unknown):
            controller.parameters(entries, annotations_of_ingress)
    for name, wrong in {
        "nginx.org/limit-req-rate": "5",
        "nginx.org/proxy-read-timeout": "35 seconds",
        "nginx.org/client-max-body-size": "64KiB",
        "nginx.org/http-redirect-code": "303",
        "nginx.org/proxy-next-upstream": "error error",
        "nginx.org/hsts": "yes",
        "nginx.org/keepalive": 64,
    }.items():
        with pytest.raises(ValueError, match=name.removeprefix("nginx.org/")):
            controller.parameters({}, {name: wrong})


@pytest.fixture(params=manifests.ENVIRONMENTS)
def environment(request):
    return request.param


@pytest.fixture
def values(environment):
    return manifests.controller_values(environment)["controller"]


@pytest.fixture
def parameters(environment):
    annotations = manifests.ingress_of(manifests.of_environment(environment))["metadata"]["annotations"]
    return controller.parameters(manifests.entries_of(environment), annotations)


def seconds(text):
    return int(re.fullmatch(r"(\d+)s", text).group(1))


def test_the_controller_has_time_for_graceful_shutdown(values, parameters):
    """Enough for the load balancer to deregister it, and for NGINX to finish the longest request."""
    longest = seconds(parameters["proxy-read-timeout"]) + seconds(parameters["proxy-connect-timeout"])
    shutdown = seconds(parameters["worker-shutdown-timeout"])
    assert longest < shutdown
    assert values["lifecycle"]["preStop"]["sleep"]["seconds"] + shutdown < values["terminationGracePeriodSeconds"]


def test_the_client_address_comes_from_the_proxy_protocol(values, parameters):
    """Both sides enable it or neither, and there is no other source."""
    announced = values["service"]["annotations"]["service.beta.kubernetes.io/aws-load-balancer-target-group-attributes"].split(",")
    assert "proxy_protocol_v2.enabled=true" in announced
    assert (parameters["proxy-protocol"], parameters["real-ip-header"]) == (True, "proxy_protocol")
    assert parameters["set-real-ip-from"]
    # It would precede HTTP health checks, too, which NGINX's readiness port does not support.
    assert not [name for name in values["service"]["annotations"] if "healthcheck" in name]


def test_snippets_in_ingresses_are_disabled(values):
    assert values["enableSnippets"] is False


def test_no_old_tls(parameters):
    assert parameters["ssl-protocols"] == "TLSv1.2 TLSv1.3"


def test_a_rollout_waits_for_the_load_balancer(values):
    """Kubernetes calls a pod ready minutes before the load balancer sends it requests."""
    assert values["minReadySeconds"] >= 180
    # Each step of the rollout must end before the Deployment counts as failed, after ten minutes without progress.
    assert values["minReadySeconds"] + values["terminationGracePeriodSeconds"] < 600


def test_a_replica_of_the_controller_may_be_evicted(values):
    assert values["replicaCount"] > 1
    assert values["podDisruptionBudget"] == {"enabled": True, "maxUnavailable": 1}
    assert values["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


def test_the_chart_and_the_controller_agree_on_names(environment, values):
    objects = manifests.of_environment(environment)
    assert manifests.ingress_of(objects)["spec"]["ingressClassName"] == values["ingressClass"]["name"]
    namespace, watched = manifests.ingress_of(objects)["metadata"]["namespace"], values["watchNamespace"].split(",")
    # It learns the load balancer's name from its own Service: otherwise the Ingress never gets an address.
    own = yaml.safe_load(Path("gitops/platform/values.yaml").read_text())["applications"]["nginx-ingress"]["namespace"]
    assert sorted(watched) == sorted([namespace, own])
    assert values["watchSecretNamespace"] == namespace
    # tests/platform/gitops/test_network.py evaluates the policies of both ends.
    (port,) = objects["Service", "shoutback"]["spec"]["ports"]
    assert port["name"] == "http"
    pod = objects["Deployment", "shoutback"]["spec"]["template"]["spec"]
    (container,) = [container for container in pod["containers"] if container["name"] == "shoutback"]
    assert port["targetPort"] in {p["name"] for p in container["ports"]}
