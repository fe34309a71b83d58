"""What becomes of observability/cloudwatch, and who may send to it."""

import fnmatch
import json
import re

import pytest
from folders import ROOT
from iam import actions, allowed, statements

FOLDER = "modules/observability"
ACCOUNT = "111122223333"
TOPIC = f"arn:aws:sns:eu-central-1:{ACCOUNT}:shoutback-production"
ALARMS = f"arn:aws:cloudwatch:eu-central-1:{ACCOUNT}:alarm"


@pytest.fixture
def run(tested):
    return tested["observability/everything_set"]


@pytest.fixture
def stack(run):
    text = run.one("aws_cloudformation_stack")["template_body"]
    # CloudFormation takes no longer one.
    assert len(text.encode()) <= 51200
    return json.loads(text)["Resources"]


def of_type(stack, kind):
    return [resource["Properties"] for resource in stack.values() if resource["Type"] == f"AWS::CloudWatch::{kind}"]


def sections():
    """The alerts that the runbook has a section for."""
    return set(re.findall(r"^### (Shoutback\w+)$", (ROOT / "docs/operations.md").read_text(), re.MULTILINE))


def test_alarms_are_named_as_the_runbooks_sections(stack):
    names = [re.fullmatch(r"production-(\w+?)(-page|-ticket)?", alarm["AlarmName"])[1] for alarm in of_type(stack, "Alarm")]
    assert len(sections()) > 10
    assert set(names) == sections()


def test_every_alarm_leads_to_its_section(stack):
    anchors = {f"https://docs.example.com/shoutback/operations.md#{name.lower()}" for name in sections()}
    for alarm in [*of_type(stack, "Alarm"), *of_type(stack, "CompositeAlarm")]:
        assert alarm["AlarmDescription"].split()[-1] in anchors, alarm["AlarmName"]


def test_composite_alarms_are_made_of_alarms_that_are_there(stack):
    there = {alarm["AlarmName"] for alarm in [*of_type(stack, "Alarm"), *of_type(stack, "CompositeAlarm")]}
    composite = of_type(stack, "CompositeAlarm")
    assert composite
    for alarm in composite:
        named = re.findall(r'ALARM\("([^"]+)"\)', alarm["AlarmRule"])
        assert named and set(named) <= there, alarm["AlarmName"]


def test_pages_and_tickets_go_to_their_topics(stack):
    heard = set()
    for alarm in [*of_type(stack, "Alarm"), *of_type(stack, "CompositeAlarm")]:
        [severity] = [tag["Value"] for tag in alarm["Tags"] if tag["Key"] == "severity"]
        for action in alarm.get("AlarmActions", []) + alarm.get("OKActions", []):
            assert action == f"{TOPIC}-{severity}", alarm["AlarmName"]
            heard.add(severity)
    assert heard == {"page", "ticket"}


def test_outputs_and_dashboard_name_all_alarms(run, stack):
    names = sorted(properties["AlarmName"] for properties in [*of_type(stack, "Alarm"), *of_type(stack, "CompositeAlarm")])
    assert sorted(run.outputs["alarm_names"]) == names
    [widget] = [widget for widget in dashboard(run)["widgets"] if widget["type"] == "alarm"]
    assert sorted(widget["properties"]["alarms"]) == [f"{ALARMS}:{name}" for name in names]


def dashboard(run):
    return json.loads(run.one("aws_cloudwatch_dashboard")["dashboard_body"])


def expressions(run):
    for widget in dashboard(run)["widgets"]:
        for metric in widget["properties"].get("metrics", []):
            [query] = metric
            yield re.fullmatch(r'PROMQL\("(.*)"\)', query["expression"], re.DOTALL)[1].replace('\\"', '"')


def test_dashboard_names_only_metrics_that_exist(run):
    said = set(re.findall(r"^\| `(\w+)`", (ROOT / "docs/metrics.md").read_text(), re.MULTILINE))
    kept = re.search(r"regex: (otelcol_\S+)", (ROOT / "observability/otel-collector/config.yaml").read_text())[1]
    named = {name for expression in expressions(run) for name in re.findall(r"(\w+)\{", expression)}
    assert "http_server_request_duration_seconds" in named
    assert [name for name in sorted(named) if name != "up" and name not in said and not re.fullmatch(kept, name)] == []


def test_dashboard_asks_for_the_environment_in_its_region(run):
    assert all('{environment="production"' in expression for expression in expressions(run))
    for widget in dashboard(run)["widgets"]:
        assert widget["type"] in ("alarm", "text") or widget["properties"]["region"] == "eu-central-1"


def test_every_query_of_the_log_is_there_and_asks_the_services_lines(run):
    shipped = {file.stem: file.read_text() for file in (ROOT / "observability/cloudwatch/insights").glob("*.query")}
    definitions = {definition.index: definition.values for definition in run.all("aws_cloudwatch_query_definition")}
    assert shipped and {name: values["query_string"] for name, values in definitions.items()} == shipped
    for name, values in definitions.items():
        assert values["name"] == f"shoutback-production/{name}"
        assert values["log_group_names"] == ["/shoutback/shoutback-production/service"]


# By role: namespace and service account of its pods, and what it may send.
ROLES = {
    "cloudwatch": ("amazon-cloudwatch", "cloudwatch-agent"),
    "collector": ("monitoring", "otel-collector"),
}


def trust(run, name):
    [role] = [role.values for role in run.all("aws_iam_role") if role.index == name]
    return json.loads(role["assume_role_policy"])


def policy(run, name):
    [found] = [policy.values for policy in run.all("aws_iam_role_policy") if policy.index == name]
    return json.loads(found["policy"])


@pytest.mark.parametrize("name", ROLES)
def test_a_role_is_for_its_own_pods(run, name):
    namespace, account = ROLES[name]
    ours = {
        "aws:SourceAccount": ACCOUNT,
        "aws:SourceArn": f"arn:aws:eks:eu-central-1:{ACCOUNT}:cluster/shoutback-production",
        "aws:RequestTag/kubernetes-namespace": namespace,
        "aws:RequestTag/kubernetes-service-account": account,
    }
    for action in ("sts:AssumeRole", "sts:TagSession"):
        assert allowed([trust(run, name)], action, principal="pods.eks.amazonaws.com", keys=ours)
    for key in ours:
        assert not allowed([trust(run, name)], "sts:AssumeRole", principal="pods.eks.amazonaws.com", keys=ours | {key: "another"})
        assert not allowed([trust(run, name)], "sts:AssumeRole", principal="pods.eks.amazonaws.com", keys={k: v for k, v in ours.items() if k != key})


def test_the_collector_may_send_what_its_page_says_and_nothing_else(run):
    page = (ROOT / "observability/otel-collector/README.md").read_text()
    needed = set(re.findall(r"`((?:xray|cloudwatch):\w+)`", page))
    assert {action for statement in statements(policy(run, "collector")) for action in actions(statement)} == needed
    for action in needed:
        assert allowed([policy(run, "collector")], action, aws__RequestedRegion="eu-central-1")
        assert not allowed([policy(run, "collector")], action, aws__RequestedRegion="us-east-1")


def test_the_agent_writes_to_the_groups_that_are_there(run):
    group = f"arn:aws:logs:eu-central-1:{ACCOUNT}:log-group:/shoutback/shoutback-production/service"
    agent = [policy(run, "cloudwatch")]
    assert allowed(agent, "logs:PutLogEvents", f"{group}:log-stream:1")
    assert not allowed(agent, "logs:PutLogEvents", f"{group}-2:log-stream:1")
    for action in ("logs:CreateLogGroup", "logs:PutRetentionPolicy", "logs:DeleteLogStream", "logs:GetLogEvents"):
        assert not allowed(agent, action, group)
    assert allowed(agent, "cloudwatch:PutMetricData", cloudwatch__namespace="ContainerInsights")
    assert not allowed(agent, "cloudwatch:PutMetricData", cloudwatch__namespace="Another")


def test_groups_are_those_that_the_agent_writes_to(run):
    names = {group.values["name"] for group in run.all("aws_cloudwatch_log_group")}
    insights = {f"/aws/containerinsights/shoutback-production/{kind}" for kind in ("application", "dataplane", "host", "performance")}
    assert names == insights | {"/shoutback/shoutback-production/service"}
    assert set(run.outputs["log_groups"].values()) == names


def test_topics_hear_the_environments_alarms_only(run):
    for topic in run.all("aws_sns_topic_policy"):
        said, arn = json.loads(topic.values["policy"]), f"{TOPIC}-{topic.index}"
        ours = {"aws:SourceAccount": ACCOUNT, "aws:SourceArn": f"{ALARMS}:production-ShoutbackReplicaDown-page", "aws:SecureTransport": "true"}
        service = "cloudwatch.amazonaws.com"
        assert allowed([said], "sns:Publish", arn, principal=service, keys=ours)
        for key, other in [
            ("aws:SourceAccount", "444455556666"),
            ("aws:SourceArn", f"{ALARMS}:staging-ShoutbackReplicaDown-page"),
            ("aws:SecureTransport", "false"),
        ]:
            assert not allowed([said], "sns:Publish", arn, principal=service, keys=ours | {key: other})
        assert not allowed([said], "sns:Publish", arn, principal="events.amazonaws.com", keys=ours)
        assert not allowed([said], "sns:Subscribe", arn, principal=service, keys=ours)


def sections_of(text):
    """Fluent Bit's sections: name, and what is set in it."""
    found = []
    for line in text.splitlines():
        if header := re.fullmatch(r"\[(\w+)\]", line.strip()):
            found.append((header[1], {}))
        elif line.strip() and not line.startswith("#"):
            name, value = line.split(None, 1)
            found[-1][1][name] = value
    return dict(found)


def test_fluent_bit_takes_the_services_lines_once_and_as_they_are(run):
    configuration = json.loads(run.one("aws_eks_addon")["configuration_values"])
    files = configuration["containerLogs"]["fluentBit"]["config"]["extraFiles"]
    said = sections_of(files["shoutback.conf"])
    # As the kubelet names them: POD_NAMESPACE_CONTAINER-ID.log, and as the add-on's own input tags them.
    ours = "/var/log/containers/shoutback-6d5f7c9b8-x2x4z_shoutback_shoutback-0123456789abcdef.log"
    others = [
        "/var/log/containers/shoutback-6d5f7c9b8-x2x4z_shoutback_filebeat-0123456789abcdef.log",
        "/var/log/containers/shoutback-6d5f7c9b8-x2x4z_default_shoutback-0123456789abcdef.log",
    ]
    for file in [ours, *others]:
        assert fnmatch.fnmatchcase(file, said["INPUT"]["Path"]) == (file == ours)
        assert fnmatch.fnmatchcase("application" + file.replace("/", "."), said["FILTER"]["Match"]) == (file == ours)
    assert said["FILTER"]["Name"] == "grep" and said["FILTER"]["Exclude"] == "log .*"
    assert said["OUTPUT"]["log_key"] == "log" and said["OUTPUT"]["log_group_name"] == "/shoutback/shoutback-production/service"
    assert said["OUTPUT"]["auto_create_group"] == "false" and said["OUTPUT"]["region"] == "${AWS_REGION}"
    # The file comes last: what it leaves out has been tagged by then.
    assert sorted(["application-log.conf", *files])[-1] == "shoutback.conf"
    assert configuration["applicationSignals"] == {"enabled": False}


def test_containers_and_namespace_are_named_as_fluent_bit_expects():
    assert re.search(r"^ +- name: shoutback$", (ROOT / "helm/shoutback/templates/deployment.yaml").read_text(), re.MULTILINE)
    assert re.search(r"^ +name: shoutback$", (ROOT / "gitops/base/namespace/namespace.yaml").read_text(), re.MULTILINE)
