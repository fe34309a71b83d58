"""Each optional part, on and off."""

import re
from pathlib import Path

import pytest
import yaml
from rendering import EVERYTHING, LEAVES_OF_SWITCHES, MINIMAL, TOP, ci, nested

# The objects of each option: their number by kind and suffix of the name.
KINDS = {
    "autoscaling": {("HorizontalPodAutoscaler", "")},
    "podDisruptionBudget": {("PodDisruptionBudget", "")},
    "networkPolicy": {("NetworkPolicy", "")},
    "serviceMonitor": {("ServiceMonitor", "")},
    "prometheusRule": {
        ("PrometheusRule", f"-{name}") for name in ("edge", "service", "slo-alerts", "slo-recording", "upstream-and-keys")
    },
    "dashboards": {("ConfigMap", f"-dashboard-{name}") for name in ("consumers", "runtime", "service", "slo", "upstream")},
    "filebeat": {("ConfigMap", "-filebeat")},
}
ELSEWHERE = {"ingress", "gateway"}


def things(rendering):
    name = rendering.deployment["metadata"]["name"]
    return {(thing["kind"], thing["metadata"]["name"].removeprefix(name)) for thing in rendering.objects}


@pytest.mark.parametrize("switch", KINDS)
def test_an_option_adds_its_objects_and_removes_none(switch):
    off = EVERYTHING.but(nested((switch, "enabled"), False))
    assert things(EVERYTHING) - things(off) == KINDS[switch]
    assert things(off) < things(EVERYTHING)


def test_each_option_is_tested():
    assert {path[0] for path in LEAVES_OF_SWITCHES} - ELSEWHERE == set(KINDS)


def test_the_minimal_objects():
    off = {switch: {"enabled": False} for switch in ("podDisruptionBudget", "networkPolicy")}
    assert things(MINIMAL.but(off)) == {
        ("Deployment", ""),
        ("ConfigMap", ""),
        ("Service", ""),
        ("Service", "-admin"),
        ("ServiceAccount", ""),
    }


class TestNames:
    @pytest.mark.parametrize(
        ("release", "more", "name"),
        [
            ("shoutback", {}, "shoutback"),
            ("blue-shoutback", {}, "blue-shoutback"),
            ("blue", {}, "blue-shoutback"),
            ("blue", {"nameOverride": "api"}, "blue-api"),
            ("blue", {"fullnameOverride": "api"}, "api"),
            ("blue", {"fullnameOverride": "a" * 39 + "-bcd"}, "a" * 39),
        ],
    )
    def test_they_derive_from_the_release_or_the_values(self, release, more, name):
        assert MINIMAL.but(more, release=release).deployment["metadata"]["name"] == name

    def test_names_that_others_select_by_are_constant(self):
        pod = MINIMAL.but({"nameOverride": "api", "fullnameOverride": "other"}).pod
        assert pod["metadata"]["labels"]["app.kubernetes.io/name"] == "shoutback"


class TestTheAccount:
    def test_another_one_can_be_used(self):
        rendering = MINIMAL.but({"serviceAccount": {"create": False, "name": "other"}})
        assert rendering.of_kind("ServiceAccount") == []
        assert rendering.pod["spec"]["serviceAccountName"] == "other"

    def test_it_can_have_another_name(self):
        assert EVERYTHING.one("ServiceAccount")["metadata"]["name"] == "shouter"
        assert EVERYTHING.one("ServiceAccount")["metadata"]["annotations"] == {"example.com/owner": "consumers"}


class TestScaling:
    def metrics(self, rendering):
        return [metric["type"] for metric in rendering.one("HorizontalPodAutoscaler")["spec"]["metrics"]]

    def test_by_cpu_requests_or_both(self):
        scaled = MINIMAL.but({"autoscaling": {"enabled": True}})
        assert self.metrics(scaled) == ["ContainerResource"]
        assert self.metrics(scaled.but({"autoscaling": {"targetActiveRequests": 50}})) == ["ContainerResource", "Pods"]
        only = {"targetActiveRequests": 50, "targetCPUUtilizationPercentage": None}
        assert self.metrics(scaled.but({"autoscaling": only})) == ["Pods"]

    def test_the_disruption_budget_may_be_a_percentage(self):
        assert ci("autoscaling").one("PodDisruptionBudget")["spec"]["maxUnavailable"] == "25%"


class TestEgress:
    def ports(self, rendering):
        """Returns the ports of each rule by its destination."""
        ports = {}
        for rule in rendering.one("NetworkPolicy")["spec"]["egress"]:
            [peer] = rule["to"]
            destination = (
                peer["ipBlock"]["cidr"]
                if "ipBlock" in peer
                else peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
            )
            ports[destination] = [f"{port['protocol']} {port['port']}" for port in rule["ports"]]
        return ports

    LEAST = {"kube-system": ["UDP 53", "TCP 53"], "0.0.0.0/0": ["TCP 80", "TCP 443"]}

    def test_the_minimum(self):
        assert self.ports(MINIMAL) == self.LEAST

    @pytest.mark.parametrize("variable", ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"])
    def test_to_the_collector_if_configured(self, variable):
        rendering = MINIMAL.but({"config": {variable: "http://otel-collector.monitoring:4318"}})
        assert self.ports(rendering) == self.LEAST | {"monitoring": ["TCP 4317", "TCP 4318"]}

    def test_to_elasticsearch_for_filebeat(self):
        assert self.ports(ci("filebeat")) == self.LEAST | {"logging": ["TCP 9200"]}

    def test_to_configured_addresses(self):
        rule = {"to": [{"ipBlock": {"cidr": "10.1.0.0/16"}}], "ports": [{"port": 53, "protocol": "UDP"}]}
        assert self.ports(MINIMAL.but({"networkPolicy": {"extraEgress": [rule]}})) == self.LEAST | {"10.1.0.0/16": ["UDP 53"]}

    @pytest.mark.parametrize(("url", "port"), [("redis://valkey", 6379), ("rediss://shoutback@valkey.example.com:6380/2", 6380)])
    def test_to_valkey_on_the_port_of_its_url(self, url, port):
        peer = {"networkPolicy": {"valkey": [{"ipBlock": {"cidr": "10.1.2.0/24"}}]}}
        assert self.ports(MINIMAL.but({"config": {"VALKEY_URL": url}} | peer)) == self.LEAST | {"10.1.2.0/24": [f"TCP {port}"]}
        assert self.ports(MINIMAL.but(peer)) == self.LEAST

    def test_to_another_dns_server(self):
        dns = {"networkPolicy": {"dns": {"namespace": "dns", "podSelector": {"k8s-app": None, "app": "dns"}}}}
        [rule] = [r for r in MINIMAL.but(dns).one("NetworkPolicy")["spec"]["egress"] if r["ports"][0]["port"] == 53]
        assert rule["to"][0]["podSelector"] == {"matchLabels": {"app": "dns"}}


class TestThePod:
    def test_the_password_of_valkey_is_a_file(self):
        secret = {"valkey": {"passwordSecret": {"name": "store", "key": "secret"}}, "networkPolicy": {"enabled": False}}
        rendering = MINIMAL.but({"config": {"VALKEY_URL": "rediss://shoutback@valkey.example.com"}} | secret)
        file = Path(rendering.one("ConfigMap")["data"]["VALKEY_PASSWORD_FILE"])
        [mount] = [mount for mount in rendering.container["volumeMounts"] if Path(mount["mountPath"]) == file.parent]
        # A file by its own mount would keep the old password.
        assert "subPath" not in mount
        [volume] = [volume for volume in rendering.pod["spec"]["volumes"] if volume["name"] == mount["name"]]
        assert volume["secret"] == {"secretName": "store", "items": [{"key": "secret", "path": file.name}]}

    def test_lists_and_maps_are_rendered(self):
        spec = EVERYTHING.pod["spec"]
        assert spec["imagePullSecrets"] == [{"name": "registry"}] == EVERYTHING.test_pods[0]["spec"]["imagePullSecrets"]
        assert spec["priorityClassName"] == "business-hours"
        assert spec["nodeSelector"] == {"kubernetes.io/arch": "amd64"}
        assert [toleration["key"] for toleration in spec["tolerations"]] == ["dedicated"]
        assert list(spec["affinity"]) == ["nodeAffinity"]
        assert EVERYTHING.pod["metadata"]["labels"]["example.com/team"] == "consumers"
        assert EVERYTHING.pod["metadata"]["annotations"]["example.com/contact"] == "consumers@example.com"
        assert {"secretRef": {"name": "shoutback-otlp"}} in EVERYTHING.container["envFrom"]
        assert EVERYTHING.deployment["metadata"]["annotations"] == {"reloader.stakater.com/auto": "true"}
        assert EVERYTHING.container["env"][-1]["name"] == "OTEL_EXPORTER_OTLP_HEADERS"
        assert {mount["name"] for mount in EVERYTHING.container["volumeMounts"]} == {"log", "ca", "valkey"}

    def test_images_of_others_come_through_the_registry_that_caches_them(self):
        images = [container["image"].partition("@")[0] for container in EVERYTHING.containers()]
        assert sorted(images) == [
            "registry.example.com/cache/docker.elastic.co/beats/filebeat:9.2.1",
            "registry.example.com/cache/quay.io/curl/curl:8.17.0",
            "registry.example.com/team/shoutback:v1.2.3",
        ]

    def test_its_memory_limit_is_at_least_its_request(self):
        small = {"config": {"MAX_REQUESTS_IN_FLIGHT": 1, "SHOUTCLOUD_MAX_CONCURRENCY": 1, "CACHE_CAPACITY": 0}}
        assert MINIMAL.but(small).container["resources"]["limits"]["memory"] == "256Mi"

    def test_it_runs_on_every_architecture(self):
        assert "kubernetes.io/arch" not in MINIMAL.text

    def test_unset_values_are_omitted(self):
        assert (
            not {"imagePullSecrets", "priorityClassName", "nodeSelector", "tolerations", "affinity"}
            & MINIMAL.pod["spec"].keys()
        )

    def test_it_is_spread_as_configured(self):
        spread = [{"topologyKey": "example.com/rack", "maxSkew": 2, "whenUnsatisfiable": "DoNotSchedule"}]
        [constraint] = MINIMAL.but({"topologySpread": spread}).pod["spec"]["topologySpreadConstraints"]
        assert spread[0].items() <= constraint.items()
        assert constraint["matchLabelKeys"] == ["pod-template-hash"]
        assert constraint["nodeTaintsPolicy"] == "Honor"

    def test_more_storage_can_be_requested(self):
        more = {"resources": {"requests": {"ephemeral-storage": "1Gi"}, "limits": {"ephemeral-storage": "2Gi", "cpu": 2}}}
        resources = MINIMAL.but(more).container["resources"]
        assert resources["requests"]["ephemeral-storage"] == "1Gi"
        assert resources["limits"] == {"ephemeral-storage": "2Gi", "cpu": 2, "memory": "3136Mi"}


def test_the_documented_values_of_valkey_are_valid():
    """Those of the chart's page, and those of Terraform's module."""
    for page in ("helm/shoutback/README.md", "terraform/modules/valkey/README.md"):
        [block] = [block for block in re.findall(r"```yaml\n(.*?)```", (TOP / page).read_text(), re.DOTALL) if "VALKEY_URL" in block]
        values = yaml.safe_load(block.replace("HOST", "valkey.example.com"))
        rendering = MINIMAL.but(values)
        assert "VALKEY_PASSWORD_FILE" in rendering.one("ConfigMap")["data"]
        assert {"10.20.0.0/16": ["TCP 6379"]}.items() <= TestEgress().ports(rendering).items()
