"""The network: address ranges, routes, and policies of the endpoints."""

import ipaddress
import json
import re

import pytest
from folders import SHIPPED
from iam import allowed

FOLDER = "modules/network"
OWN = {"aws:PrincipalAccount": "111122223333"}


@pytest.fixture
def run(tested):
    return tested["network/nat_per_zone"]


def test_subnets_are_in_the_network_and_disjoint(run):
    network = ipaddress.ip_network(run.one("aws_vpc")["cidr_block"])
    subnets = [ipaddress.ip_network(subnet.values["cidr_block"]) for subnet in run.all("aws_subnet")]
    assert len(subnets) == 6 and all(subnet.subnet_of(network) for subnet in subnets)
    assert not any(one.overlaps(other) for one in subnets for other in subnets if one is not other)
    for name in ("private", "public"):
        zones = {subnet.values["availability_zone"] for subnet in run.all("aws_subnet") if subnet.name == name}
        assert zones == {"us-east-2a", "us-east-2b", "us-east-2c"}


def test_one_gateway_can_serve_all_zones(tested):
    run = tested["network/one_nat"]
    [gateway] = run.all("aws_nat_gateway")
    routes = [route.values for route in run.all("aws_route") if route.name == "by_nat"]
    assert len(routes) == 3 and {route["nat_gateway_id"] for route in routes} == {gateway.values["id"]}


def test_private_subnets_have_no_other_route(run):
    private = {table.values["id"] for table in run.all("aws_route_table") if table.name == "private"}
    for route in run.all("aws_route"):
        if route.values["route_table_id"] in private:
            assert route.values["nat_gateway_id"] and not route.values["gateway_id"]
    associated = {link.values["subnet_id"]: link.values["route_table_id"] for link in run.all("aws_route_table_association")}
    assert all(associated[subnet.values["id"]] in private for subnet in run.all("aws_subnet") if subnet.name == "private")


def test_the_role_of_flow_logs_has_no_other_permission(run):
    flow, role, group = run.one("aws_flow_log"), run.one("aws_iam_role"), run.one("aws_cloudwatch_log_group")
    assert flow["iam_role_arn"] == role["arn"] and flow["log_destination"] == group["arn"]
    trust, policy = json.loads(role["assume_role_policy"]), json.loads(run.one("aws_iam_role_policy")["policy"])
    own = {"aws:SourceAccount": "111122223333", "aws:SourceArn": "arn:aws:ec2:us-east-2:111122223333:vpc-flow-log/fl-1"}
    assert allowed([trust], "sts:AssumeRole", principal="vpc-flow-logs.amazonaws.com", keys=own)
    assert not allowed([trust], "sts:AssumeRole", principal="vpc-flow-logs.amazonaws.com", keys=own | {"aws:SourceAccount": "444455556666"})
    assert allowed([policy], "logs:PutLogEvents", f"{group['arn']}:log-stream:1")
    assert not allowed([policy], "logs:PutLogEvents", "arn:aws:logs:us-east-2:111122223333:log-group:/another:log-stream:1")


def endpoint(run, service):
    [found] = [point.values for point in run.all("aws_vpc_endpoint") if point.values["service_name"].endswith(f".{service}")]
    return found


@pytest.mark.parametrize(
    ("service", "action", "no"),
    [
        ("ecr.api", "ecr:GetAuthorizationToken", "ecr:BatchDeleteImage"),
        ("ecr.dkr", "ecr:BatchGetImage", "ecr:PutImage"),
        # The first pull of an image through a cache.
        ("ecr.api", "ecr:BatchImportUpstreamImage", "ecr:CreatePullThroughCacheRule"),
        ("ecr.api", "ecr:CreateRepository", "ecr:DeleteRepository"),
        ("logs", "logs:PutLogEvents", "logs:DeleteLogGroup"),
        ("sts", "sts:GetCallerIdentity", "sts:GetFederationToken"),
    ],
)
def test_endpoints_permit_only_the_account(run, service, action, no):
    point = endpoint(run, service)
    policy = json.loads(point["policy"])
    assert allowed([policy], action, principal="anyone", keys=OWN)
    assert not allowed([policy], action, principal="anyone", keys={"aws:PrincipalAccount": "444455556666"})
    assert not allowed([policy], action, principal="anyone")
    assert not allowed([policy], no, principal="anyone", keys=OWN)
    # Otherwise the public names of the services bypass it.
    assert point["private_dns_enabled"] is True
    assert len(point["subnet_ids"]) == 3


def test_the_s3_endpoint_permits_only_image_layers(run):
    policy = json.loads(endpoint(run, "s3")["policy"])
    # Of ECR and its cache, of registry.k8s.io, and of quay.io, whose bucket is in us-east-1 and would otherwise fail there.
    for bucket in ("prod-us-east-2-starport-layer-bucket", "prod-registry-k8s-io-us-east-2", "quayio-production-s3"):
        assert allowed([policy], "s3:GetObject", f"arn:aws:s3:::{bucket}/layer", principal="anyone")
        assert not allowed([policy], "s3:PutObject", f"arn:aws:s3:::{bucket}/layer", principal="anyone")
    assert not allowed([policy], "s3:GetObject", "arn:aws:s3:::elsewhere/data", principal="anyone")


def test_endpoints_accept_only_the_network(run):
    rule = run.one("aws_vpc_security_group_ingress_rule")
    assert (rule["cidr_ipv4"], rule["from_port"], rule["to_port"], rule["ip_protocol"]) == ("10.30.0.0/16", 443, 443, "tcp")


def test_nodes_wait_for_their_way_out():
    """A cluster takes its subnets from this output: its nodes start after routes and endpoints, and end before them."""
    text = (SHIPPED / FOLDER / "outputs.tf").read_text()
    depends = re.search(r'output "private_subnet_ids" \{.*?depends_on = \[(.*?)\]', text, re.DOTALL)[1]
    assert set(depends.split(", ")) == {"aws_route.by_nat", "aws_route_table_association.private", "aws_vpc_endpoint.interface", "aws_vpc_endpoint.s3"}


def test_the_default_security_group_permits_nothing(tested):
    for name in ("network/one_nat", "network/nat_per_zone"):
        group = tested[name].one("aws_default_security_group")
        assert not group["ingress"] and not group["egress"]
