"""The network policies of the namespaces: both ends of each permitted connection agree, and no needed connection is missing.

Which connections there are comes from the rendered objects, from the values of charts that are not rendered, and from NEEDED.
"""

import re
from ipaddress import ip_address, ip_network

import pytest
import yaml

API_SERVER = AWS = "203.0.113.1", 443
POD_IDENTITY = "169.254.170.23", 80
DNS = "172.20.0.10", 53
KUBELET, NODE_EXPORTER = ("10.20.0.1", 10250), ("10.20.0.1", 9100)
NAME_SERVER = "198.51.100.1", 53

# By namespace, what its programs connect to and no object here names.
NEEDED = {
    "argocd": [API_SERVER],
    # It looks whether its record has reached the zone's own name servers.
    "cert-manager": [API_SERVER, AWS, POD_IDENTITY, NAME_SERVER],
    "elastic-system": [API_SERVER, "logging"],
    "external-dns": [API_SERVER, AWS, POD_IDENTITY],
    "monitoring": [API_SERVER, AWS, POD_IDENTITY, KUBELET, NODE_EXPORTER],
    "nginx-ingress": [API_SERVER, "shoutback"],
    "nginx-internal": [API_SERVER, "tools"],
    "tools": [AWS],
}


@pytest.fixture
def policies(applications):
    """Returns the rules of each namespace's policies, by direction."""
    found = {}
    for name in ("platform", "cluster", "shoutback"):
        for thing in applications[name].objects:
            if thing["kind"] == "NetworkPolicy":
                rules = found.setdefault(thing["metadata"]["namespace"], {"ingress": [], "egress": []})
                for direction in rules:
                    rules[direction] += thing["spec"].get(direction, [])
    return found


@pytest.fixture
def declared(applications):
    return {thing["metadata"]["name"] for name in ("platform", "cluster") for thing in applications[name].objects if thing["kind"] == "Namespace"}


def names(rules, end):
    """Returns the namespaces whose pods the rules permit."""
    selectors = [peer.get("namespaceSelector", {}) for rule in rules for peer in rule.get(end, [])]
    return {selector["matchLabels"]["kubernetes.io/metadata.name"] for selector in selectors if selector} - {"kube-system"}


def reaches(rules, address, port, protocol="TCP"):
    """Returns whether a rule permits an address that is no pod of the cluster."""
    for rule in rules:
        blocks = [peer.get("ipBlock") for peer in rule.get("to", [])]
        inside = not blocks or any(
            block and ip_address(address) in ip_network(block["cidr"]) and not any(ip_address(address) in ip_network(one) for one in block.get("except", []))
            for block in blocks
        )
        open_ports = [(one["port"], one.get("protocol", "TCP")) for one in rule.get("ports", [])]
        if inside and (not open_ports or (port, protocol) in open_ports):
            return True
    return False


def test_nothing_connects_unless_a_rule_permits_it(applications, declared):
    closed = {
        thing["metadata"]["namespace"]
        for name in ("platform", "cluster")
        for thing in applications[name].objects
        if thing["kind"] == "NetworkPolicy" and thing["spec"]["podSelector"] == {} and thing["spec"]["policyTypes"] == ["Ingress", "Egress"]
    }
    assert closed == declared


def test_each_rule_names_a_peer_or_a_port(policies):
    for namespace, rules in policies.items():
        for direction, end in (("ingress", "from"), ("egress", "to")):
            for rule in rules[direction]:
                assert rule.get(end) or rule.get("ports"), (namespace, direction)


def test_no_pod_reaches_the_credentials_of_its_node(policies):
    for namespace, rules in policies.items():
        assert not reaches(rules["egress"], "169.254.169.254", 80), namespace
        assert not reaches(rules["egress"], "10.20.0.1", 22), namespace


def test_both_ends_agree(policies, declared):
    """Not for ports that a namespace opens to all, such as the ingress controller's."""
    for namespace in declared:
        for target in names(policies[namespace]["egress"], "to") - {namespace}:
            assert namespace in names(policies[target]["ingress"], "from"), f"{target} does not accept {namespace}"
        for source in names(policies[namespace]["ingress"], "from") - {namespace}:
            assert namespace in names(policies[source]["egress"], "to"), f"{source} cannot connect to {namespace}"


def scraped(applications, page):
    """Returns the namespaces of what Prometheus scrapes in pods."""
    for application in applications.values():
        monitors = [thing for thing in application.objects if thing["kind"] in ("ServiceMonitor", "PodMonitor")]
        yield from (thing["metadata"].get("namespace", application.namespace) for thing in monitors)
        if not application.rendered and re.search(r"service_?monitor:\n +(enabled|create): true", page(f"gitops/platform/values/{application.name}.yaml"), re.I):
            yield application.namespace


def test_each_needed_connection_is_permitted(applications, policies, declared, page):
    needed = {namespace: {DNS, *NEEDED.get(namespace, [])} for namespace in declared}
    needed["monitoring"] |= set(scraped(applications, page))
    sign_in = yaml.safe_load(page("gitops/platform/values/oauth2-proxy.yaml"))["alphaConfig"]["configData"]["upstreamConfig"]["upstreams"]
    needed["tools"] |= {re.search(r"\.([a-z-]+)\.svc", upstream["uri"])[1] for upstream in sign_in}
    needed["filebeat"] |= set(re.findall(r"https://[a-z-]+\.([a-z-]+)\.svc:9200", str(applications["filebeat"].objects)))
    needed["shoutback"].add(re.search(r"http://[a-z-]+\.([a-z-]+):4318", applications["shoutback"].one("ConfigMap", "shoutback")["data"]["OTEL_EXPORTER_OTLP_ENDPOINT"])[1])
    assert {"argocd", "nginx-ingress", "shoutback", "tools"} <= needed["monitoring"] and "logging" in needed["filebeat"] & needed["tools"]
    for namespace, targets in needed.items():
        egress = policies[namespace]["egress"]
        for target in targets - {namespace}:
            if isinstance(target, str):
                assert target in names(egress, "to"), f"{namespace} cannot connect to {target}"
            else:
                assert reaches(egress, *target), f"{namespace} cannot connect to {target}"
        assert reaches(egress, *DNS, "UDP"), namespace
    assert reaches(policies["cert-manager"]["egress"], *NAME_SERVER, "UDP")
