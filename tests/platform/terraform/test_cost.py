"""The sums in docs/cost.md are correct, and its numbers are those of the planned resources."""

import re
from decimal import ROUND_HALF_UP, Decimal

import pytest
from folders import ROOT


def tables():
    """Returns each table of prices as a list of rows."""
    page = (ROOT / "docs/cost.md").read_text()
    found = re.findall(r"^\| part \|.*\n\|[-|: ]+\|\n((?:\|.*\n)+)", page, re.MULTILINE)
    return [[[cell.strip() for cell in line.strip("|\n").split("|")] for line in table.splitlines()] for table in found]


def cents(value):
    return value.quantize(Decimal("0.01"), ROUND_HALF_UP)


@pytest.mark.parametrize("table", [0, 1], ids=["environments", "account"])
def test_the_tables_add_up(table):
    *rows, total = tables()[table]
    assert total[0] == "**Sum**" and len(rows) > 2
    for column in range(2, len(rows[0]), 2):
        for row in rows:
            assert cents(Decimal(row[1]) * Decimal(row[column])) == Decimal(row[column + 1]), row
        assert sum(Decimal(row[column + 1]) for row in rows) == Decimal(total[column + 1].strip("*"))


def counted(run):
    """Returns the numbers of planned resources by their names in the table."""
    [group] = run.all("aws_eks_node_group")
    [template] = run.all("aws_launch_template")
    nodes = group.values["scaling_config"][0]["desired_size"]
    [disk] = template.values["block_device_mappings"]
    stack = run.one("aws_cloudformation_stack")["template_body"]
    endpoints = [endpoint.values for endpoint in run.all("aws_vpc_endpoint") if endpoint.values["vpc_endpoint_type"] == "Interface"]
    clients = [client for client in run.all("aws_cognito_user_pool_client") if client.values["allowed_oauth_flows"] == ["client_credentials"]]
    public_subnets = [subnet for subnet in run.all("aws_subnet") if subnet.name == "public"]
    return {
        "Control plane of EKS": len(run.all("aws_eks_cluster")),
        f"Nodes, {group.values['instance_types'][0]}": nodes,
        "Disks of nodes, GiB of gp3": nodes * disk["ebs"][0]["volume_size"],
        "Detailed monitoring of nodes": nodes * template.values["monitoring"][0]["enabled"],
        "NAT gateways": len(run.all("aws_nat_gateway")),
        "Interface endpoints, in each of three zones": sum(len(endpoint["subnet_ids"]) for endpoint in endpoints),
        # The load balancer has one in each public subnet.
        "Public addresses": len(run.all("aws_eip")) + len(public_subnets),
        "Keys": len(run.all("aws_kms_key")),
        "Alarms on queries": stack.count('"AWS::CloudWatch::Alarm"'),
        "Composite alarms": stack.count('"AWS::CloudWatch::CompositeAlarm"'),
        "Dashboards": len(run.all("aws_cloudwatch_dashboard")),
        "Machines' clients in Cognito": len(clients),
    }


@pytest.mark.parametrize(("folder", "column"), [("environments/staging", 2), ("environments/production", 4)])
def test_numbers_are_those_of_the_plan(folder, column, tested):
    run = next(run for run in tested.values() if run.all("aws_eks_cluster"))
    documented = {row[0]: row[column] for row in tables()[0]}
    assert {name: documented.get(name) for name in counted(run)} == {name: str(number) for name, number in counted(run).items()}


def test_the_number_of_keys_is_that_of_the_bootstrap(everything):
    [keys] = [row[2] for row in tables()[1] if row[0] == "Keys"]
    assert int(keys) == len(everything["bootstrap"]["bootstrap/example"].all("aws_kms_key"))


def test_savings_are_rows_of_the_table():
    page = (ROOT / "docs/cost.md").read_text()
    parts = {row[0]: Decimal(row[3]) for row in tables()[0][:-1]}
    documented = {row[0]: Decimal(row[1]) for row in re.findall(r"^\| (no [\w ]+|metrics to Prometheus only|nodes off.*?) \| ([\d.]+) \|", page, re.MULTILINE)}
    assert documented["no interface endpoints"] == parts["Interface endpoints, in each of three zones"]
    assert documented["no Container Insights"] == parts["Container Insights, million observations"]
    assert documented["metrics to Prometheus only"] == parts["Metrics of the service"]
    assert documented["nodes off at night and at weekends (70 % of the time)"] == cents(parts["Nodes, t3.medium"] * Decimal("0.7"))
