"""Alarms and dashboard conform to the models of AWS' APIs, and each alarm notifies the right topic."""

import itertools
import json
import re
import subprocess

import botocore.session
import pytest
from botocore.validate import ParamValidator
from cloudwatch import VARIABLES

from harness.runbooks import runbooks

TOPICS = {severity: [VARIABLES[f"{severity}_topic_arn"]] for severity in ("page", "ticket")}


@pytest.fixture(scope="module")
def validate():
    service = botocore.session.get_session().get_service_model("cloudwatch")

    def validate(operation, parameters):
        return ParamValidator().validate(parameters, service.operation_model(operation).input_shape).generate_report()

    return validate


def test_alarms_conform_to_the_api(cloudwatch, validate):
    for alarm in cloudwatch["metric_alarms"]:
        assert not validate("PutMetricAlarm", alarm)
    for alarm in cloudwatch["composite_alarms"]:
        assert not validate("PutCompositeAlarm", alarm)


def test_the_stack_conforms_to_cloudformation(cloudwatch, tmp_path):
    stack = tmp_path / "stack.json"
    stack.write_text(cloudwatch["stack"])
    linted = subprocess.run(["cfn-lint", "--regions", VARIABLES["region"], "--", stack], capture_output=True, text=True)
    assert linted.returncode == 0, linted.stdout + linted.stderr
    resources = json.loads(cloudwatch["stack"])["Resources"]
    assert len(resources) == len(cloudwatch["metric_alarms"]) + len(cloudwatch["composite_alarms"])
    # CloudFormation's limit.
    assert len(cloudwatch["stack"]) < 1_000_000


def severity(alarm):
    return {tag["Key"]: tag["Value"] for tag in alarm["Tags"]}["severity"]


def test_each_alarm_notifies_directly_or_through_a_composite_alarm(cloudwatch):
    named = {alarm["AlarmName"]: alarm for alarm in cloudwatch["metric_alarms"] + cloudwatch["composite_alarms"]}
    combined = {}
    for alarm in cloudwatch["composite_alarms"]:
        assert set(names_in(alarm["AlarmRule"])) <= set(named), alarm["AlarmRule"]
        for name in re.findall(r'(?<!NOT )ALARM\("([^"]+)"\)', alarm["AlarmRule"]):
            combined.setdefault(name, []).append(severity(alarm))
    for name, alarm in named.items():
        if "AlarmActions" in alarm:
            assert alarm["AlarmActions"] == alarm["OKActions"] == TOPICS[severity(alarm)]
            assert name not in combined, "it would notify twice"
        else:
            assert combined[name] == [severity(alarm)], name


def names_in(rule):
    return re.findall(r'"([^"]+)"', rule)


def test_composite_alarms_depend_on_their_parts(cloudwatch):
    resources = json.loads(cloudwatch["stack"])["Resources"]
    for resource in resources.values():
        if "AlarmRule" in resource["Properties"]:
            needed = {resources[name]["Properties"]["AlarmName"] for name in resource["DependsOn"]}
            assert needed == set(names_in(resource["Properties"]["AlarmRule"]))


def test_each_alarm_links_to_its_runbook(cloudwatch):
    alerts = [alarm["AlarmName"] for alarm in cloudwatch["metric_alarms"]]
    names = {re.sub(r"^prefix-|-(page|ticket)$", "", name) for name in alerts}
    assert names <= runbooks().keys()
    for alarm in cloudwatch["metric_alarms"] + cloudwatch["composite_alarms"]:
        base, _, page = alarm["AlarmDescription"].split()[-1].partition("/runbooks/")
        name = page.removesuffix(".md")
        assert base == VARIABLES["runbook_base_url"] and page == f"{name}.md" and name in names
        if alarm["AlarmName"] in alerts:
            assert name in alarm["AlarmName"]


def test_the_dashboard_conforms_to_the_api(cloudwatch, validate):
    assert not validate("PutDashboard", {"DashboardName": "Shoutback", "DashboardBody": cloudwatch["dashboard"]})
    body = json.loads(cloudwatch["dashboard"])
    assert set(body) <= {"start", "end", "widgets", "periodOverride", "variables"}
    kinds = {"chart": {"data", "plotOptions", "region", "view"}, "log": {"query", "region"}, "alarm": {"alarms"}, "text": {"markdown"}}
    assert {widget["type"] for widget in body["widgets"]} == set(kinds)
    for widget in body["widgets"]:
        assert kinds[widget["type"]] <= set(widget["properties"])
        assert set(widget) == {"type", "x", "y", "width", "height", "properties"}
        assert widget["x"] >= 0 and 1 <= widget["width"] and widget["x"] + widget["width"] <= 24


def test_panels_are_charts_of_promql(cloudwatch):
    """The API's model has the body as a string. CloudWatch rejects `data.queries` in a widget of type `metric`, and that type's members in
    a chart."""
    charts = [widget["properties"] for widget in json.loads(cloudwatch["dashboard"])["widgets"] if widget["type"] == "chart"]
    assert len(charts) > 10
    for properties in charts:
        assert set(properties) == {"title", "region", "view", "data", "plotOptions"} and properties["view"] == "line"
        queries = properties["data"]["queries"]
        assert len({query["id"] for query in queries}) == len(queries) > 0
        for query in queries:
            assert set(query) - {"label"} == {"id", "type", "language", "query", "step"}
            assert (query["type"], query["language"]) == ("cloudwatch-metrics", "PromQL")
            assert query["query"] == query["query"].strip() != ""


def test_widgets_do_not_overlap(cloudwatch):
    def overlap(one, other):
        return all(
            one[start] < other[start] + other[size] and other[start] < one[start] + one[size]
            for start, size in (("x", "width"), ("y", "height"))
        )

    widgets = json.loads(cloudwatch["dashboard"])["widgets"]
    assert not [pair for pair in itertools.combinations(widgets, 2) if overlap(*pair)]


def test_the_dashboard_shows_every_alarm(cloudwatch):
    widget, = (one for one in json.loads(cloudwatch["dashboard"])["widgets"] if one["type"] == "alarm")
    names = {alarm["AlarmName"] for alarm in cloudwatch["metric_alarms"] + cloudwatch["composite_alarms"]}
    assert {arn.rpartition(":")[2] for arn in widget["properties"]["alarms"]} == names
