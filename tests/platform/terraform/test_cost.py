"""The sums in docs/cost.md are correct, and its numbers are those of the planned resources."""

import json
import re
from decimal import ROUND_HALF_UP, Decimal

import pytest
from folders import ROOT

FOLDER = "environment"


def tables():
    """Returns each table of prices as a list of rows."""
    page = (ROOT / "docs/cost.md").read_text()
    found = re.findall(r"^\| part \|.*\n\|[-|: ]+\|\n((?:\|.*\n)+)", page, re.MULTILINE)
    return [[[cell.strip() for cell in line.strip("|\n").split("|")] for line in table.splitlines()] for table in found]


def cents(value):
    return value.quantize(Decimal("0.01"), ROUND_HALF_UP)


@pytest.mark.parametrize("table", [0, 1, 2], ids=["environments", "account", "optional"])
def test_the_tables_add_up(table):
    *rows, total = tables()[table]
    assert total[0] == "**Sum**" and len(rows) > 2
    for column in range(2, len(rows[0]), 2):
        for row in rows:
            assert cents(Decimal(row[1]) * Decimal(row[column])) == Decimal(row[column + 1]), row
        assert sum(Decimal(row[column + 1]) for row in rows) == Decimal(total[column + 1].strip("*"))


def counted(run):
    """Returns the numbers of planned resources by their names in the table. Nodes are not planned: Auto Mode starts them."""
    stacks = {stack.values["name"].rpartition("-")[2]: json.loads(stack.values["template_body"])["Resources"].values() for stack in run.all("aws_cloudformation_stack")}
    alarms = [resource["Type"] for resource in stacks["alarms"]]
    clients = [resource["Properties"] for resource in stacks["clients"] if resource["Type"] == "AWS::Cognito::UserPoolClient"]
    endpoints = [endpoint.values for endpoint in run.all("aws_vpc_endpoint") if endpoint.values["vpc_endpoint_type"] == "Interface"]
    balancers = [file for file in (ROOT / "gitops/platform/values").glob("*.yaml") if "aws-load-balancer-scheme:" in file.read_text()]
    public_subnets = [subnet for subnet in run.all("aws_subnet") if subnet.name == "public"]
    return {
        "Control plane of EKS": len(run.all("aws_eks_cluster")),
        "NAT gateways": len(run.all("aws_nat_gateway")),
        "Interface endpoints": sum(len(endpoint["subnet_ids"]) for endpoint in endpoints),
        # The load balancer has one in each public subnet.
        "Public addresses": len(run.all("aws_eip")) + len(public_subnets),
        # The cluster creates them.
        "Network load balancers": len(balancers),
        "Keys": len(run.all("aws_kms_key")),
        "Secrets": sum(resource["Type"] == "AWS::SecretsManager::Secret" for resources in stacks.values() for resource in resources),
        "Alarms on queries": alarms.count("AWS::CloudWatch::Alarm"),
        "Composite alarms": alarms.count("AWS::CloudWatch::CompositeAlarm"),
        "Alarms on the platform": len(run.all("aws_cloudwatch_metric_alarm")),
        "Dashboards": len(run.all("aws_cloudwatch_dashboard")),
        "Machines' clients in Cognito": sum(client["AllowedOAuthFlows"] == ["client_credentials"] for client in clients),
    }


@pytest.mark.parametrize(("name", "column"), [("staging", 2), ("production", 4)])
def test_numbers_are_those_of_the_plan(name, column, tested):
    found = counted(tested[f"{name}/shipped_values"])
    documented = {row[0]: row[column] for row in tables()[0]}
    assert {part: documented.get(part) for part in found} == {part: str(number) for part, number in found.items()}


def test_numbers_of_the_shared_store_are_those_of_the_plan(tested):
    without, with_store = (tested[f"staging/{name}"] for name in ("shipped_values", "with_valkey_and_another_registry"))
    documented = {row[0]: row[2] for row in tables()[2]}
    [group] = [group.values for group in with_store.all("aws_elasticache_replication_group")]
    assert documented[f"Nodes of Valkey, {group['node_type']}"] == str(group["num_cache_clusters"])
    for part, in_table in {"Its key": "Keys", "Its secret": "Secrets", "Its alarms": "Alarms on the platform"}.items():
        assert documented[part] == str(counted(with_store)[in_table] - counted(without)[in_table]), part


def test_the_number_of_keys_is_that_of_the_bootstrap(everything):
    [keys] = [row[2] for row in tables()[1] if row[0] == "Keys"]
    assert int(keys) == len(everything["bootstrap"]["bootstrap/shipped_values"].all("aws_kms_key"))


def test_metrics_are_priced_by_volume():
    """CloudWatch prices OTLP metrics per GB, not per series, so their line has a number of GB that follows from the load."""
    [row] = [row for row in tables()[0] if row[0].startswith("Metrics of the service")]
    assert row[0].endswith(", GB")
    text = (ROOT / "docs/cost.md").read_text()
    per_replica, staging, production = re.search(r"(\d+) GB per replica.*?; (\w+) replicas,\s+and\s+(\w+)\.", text, re.DOTALL).groups()
    numbers = {"two": 2, "three": 3}
    assert [int(row[2]), int(row[4])] == [int(per_replica) * numbers[staging], int(per_replica) * numbers[production]]


def test_the_budget_is_above_the_sums(everything):
    """A message each month would not be read."""
    budget = everything["bootstrap"]["bootstrap/shipped_values"].one("aws_budgets_budget")
    [first] = [notification["threshold"] for notification in budget["notification"] if notification["notification_type"] == "ACTUAL"]
    totals = [Decimal(cell.strip("*")) for table in tables()[:2] for cell in table[-1] if re.fullmatch(r"\*\*[\d.]+\*\*", cell)]
    assert len(totals) == 3 and Decimal(budget["limit_amount"]) * Decimal(first) / 100 >= sum(totals)


def test_savings_are_rows_of_the_table():
    page = (ROOT / "docs/cost.md").read_text()
    parts = {row[0]: Decimal(row[3]) for row in tables()[0][:-1]}
    documented = {row[0]: Decimal(row[1]) for row in re.findall(r"^\| (no [\w ]+|metrics to Prometheus only) \| ([\d.]+) \|", page, re.MULTILINE)}
    assert documented["no interface endpoints"] == parts["Interface endpoints"]
    assert documented["no Container Insights"] == parts["Container Insights, million observations"]
    assert documented["metrics to Prometheus only"] == parts["Metrics of the service by OTLP, GB"]


def test_the_price_of_a_second_region_is_the_sum_of_production():
    [second] = re.findall(r"^\| a second production .*\| ([0-9,]+), the sum of", (ROOT / "docs/regions.md").read_text(), re.MULTILINE)
    assert int(second.replace(",", "")) == round(Decimal(tables()[0][-1][5].strip("*")))
