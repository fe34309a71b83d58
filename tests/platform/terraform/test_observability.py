"""The resources of observability/cloudwatch, and the permissions to send to them."""

import fnmatch
import json
import re

import pytest
from folders import ROOT
from iam import actions, allowed, statements

from harness.runbooks import runbooks

FOLDER = "modules/observability"
ACCOUNT = "111122223333"
TOPIC = f"arn:aws:sns:us-east-2:{ACCOUNT}:shoutback-production"
ALARMS = f"arn:aws:cloudwatch:us-east-2:{ACCOUNT}:alarm"


@pytest.fixture
def run(tested):
    return tested["observability/everything_set"]


@pytest.fixture
def stack(run):
    text = run.one("aws_cloudformation_stack")["template_body"]
    # CloudFormation's limit.
    assert len(text.encode()) <= 51200
    return json.loads(text)["Resources"]


def of_type(stack, kind):
    return [resource["Properties"] for resource in stack.values() if resource["Type"] == f"AWS::CloudWatch::{kind}"]


# Of metrics that the collector does not send: those of the probe, of certificates, and of Kubernetes.
ONLY_PROMETHEUS = {"ShoutbackProbeFails", "ShoutbackProbeMissing", "ShoutbackCertificateExpires", "ShoutbackMemoryHigh", "ShoutbackCpuThrottled", "ShoutbackOverridden"}


def test_alarms_have_the_names_of_alerts(stack):
    names = [re.fullmatch(r"production-(\w+?)(-page|-ticket)?", alarm["AlarmName"])[1] for alarm in of_type(stack, "Alarm")]
    assert set(names) == {name for name in runbooks() if name.startswith("Shoutback")} - ONLY_PROMETHEUS and len(names) > 10


def test_every_alarm_links_to_a_runbook(stack):
    urls = {f"https://docs.example.com/shoutback/runbooks/{name}.md" for name in runbooks()}
    for alarm in [*of_type(stack, "Alarm"), *of_type(stack, "CompositeAlarm")]:
        assert alarm["AlarmDescription"].split()[-1] in urls, alarm["AlarmName"]


def test_composite_alarms_refer_to_existing_alarms(stack):
    existing = {alarm["AlarmName"] for alarm in [*of_type(stack, "Alarm"), *of_type(stack, "CompositeAlarm")]}
    composite = of_type(stack, "CompositeAlarm")
    assert composite
    for alarm in composite:
        named = re.findall(r'ALARM\("([^"]+)"\)', alarm["AlarmRule"])
        assert named and set(named) <= existing, alarm["AlarmName"]


def test_pages_and_tickets_go_to_their_topics(stack):
    notified = set()
    for alarm in [*of_type(stack, "Alarm"), *of_type(stack, "CompositeAlarm")]:
        [severity] = [tag["Value"] for tag in alarm["Tags"] if tag["Key"] == "severity"]
        for action in alarm.get("AlarmActions", []) + alarm.get("OKActions", []):
            assert action == f"{TOPIC}-{severity}", alarm["AlarmName"]
            notified.add(severity)
    assert notified == {"page", "ticket"}


def test_outputs_and_dashboard_name_all_alarms(run, stack):
    names = sorted(
        [properties["AlarmName"] for properties in [*of_type(stack, "Alarm"), *of_type(stack, "CompositeAlarm")]]
        + [alarm.values["alarm_name"] for alarm in run.all("aws_cloudwatch_metric_alarm")]
    )
    assert sorted(run.outputs["alarm_names"]) == names
    [widget] = [widget for widget in dashboard(run)["widgets"] if widget["type"] == "alarm"]
    assert sorted(widget["properties"]["alarms"]) == [f"{ALARMS}:{name}" for name in names]


def dashboard(run):
    return json.loads(run.one("aws_cloudwatch_dashboard")["dashboard_body"])


def expressions(run):
    for widget in dashboard(run)["widgets"]:
        for query in widget["properties"].get("data", {}).get("queries", []):
            yield query["query"]


def test_dashboard_names_only_metrics_that_exist(run):
    documented = set(re.findall(r"^\| `(\w+)`", (ROOT / "docs/metrics.md").read_text(), re.MULTILINE))
    exported = re.search(r"regex: (otelcol_\S+)", (ROOT / "observability/otel-collector/config.yaml").read_text())[1]
    named = {name for expression in expressions(run) for name in re.findall(r"(\w+)\{", expression)}
    assert "http_server_request_duration_seconds" in named
    assert [name for name in sorted(named) if name != "up" and name not in documented and not re.fullmatch(exported, name)] == []


def test_the_dashboard_queries_the_environment_in_its_region(run):
    assert all('{environment="production"' in expression for expression in expressions(run))
    for widget in dashboard(run)["widgets"]:
        assert widget["type"] in ("alarm", "text") or widget["properties"]["region"] == "us-east-2"


def test_every_log_query_exists_and_uses_the_services_group(run):
    shipped = {file.stem: file.read_text() for file in (ROOT / "observability/cloudwatch/insights").glob("*.query")}
    definitions = {definition.index: definition.values for definition in run.all("aws_cloudwatch_query_definition")}
    assert shipped and {name: values["query_string"] for name, values in definitions.items()} == shipped
    for name, values in definitions.items():
        assert values["name"] == f"shoutback-production/{name}"
        assert values["log_group_names"] == ["/shoutback/shoutback-production/service"]


# For each role: namespace and service account of its pods, and its permissions.
ROLES = {
    "cloudwatch": ("amazon-cloudwatch", "cloudwatch-agent"),
    "collector": ("monitoring", "otel-collector"),
    "alertmanager": ("monitoring", "kube-prometheus-stack-alertmanager"),
}


def trust(run, name):
    [role] = [role.values for role in run.all("aws_iam_role") if role.values["name"] == f"shoutback-production-{name}"]
    return json.loads(role["assume_role_policy"])


def policy(run, name):
    [found] = [policy.values for policy in run.all("aws_iam_role_policy") if policy.values["name"] == name]
    return json.loads(found["policy"])


@pytest.mark.parametrize("name", ROLES)
def test_a_role_is_only_for_its_pods(run, name):
    namespace, account = ROLES[name]
    own = {
        "aws:SourceAccount": ACCOUNT,
        "aws:SourceArn": f"arn:aws:eks:us-east-2:{ACCOUNT}:cluster/shoutback-production",
        "aws:RequestTag/kubernetes-namespace": namespace,
        "aws:RequestTag/kubernetes-service-account": account,
    }
    for action in ("sts:AssumeRole", "sts:TagSession"):
        assert allowed([trust(run, name)], action, principal="pods.eks.amazonaws.com", keys=own)
    for key in own:
        assert not allowed([trust(run, name)], "sts:AssumeRole", principal="pods.eks.amazonaws.com", keys=own | {key: "another"})
        assert not allowed([trust(run, name)], "sts:AssumeRole", principal="pods.eks.amazonaws.com", keys={k: v for k, v in own.items() if k != key})


def test_the_collector_has_only_the_documented_permissions(run):
    page = (ROOT / "observability/otel-collector/README.md").read_text()
    needed = set(re.findall(r"`((?:xray|cloudwatch):\w+)`", page))
    assert {action for statement in statements(policy(run, "collector")) for action in actions(statement)} == needed
    for action in needed:
        assert allowed([policy(run, "collector")], action, aws__RequestedRegion="us-east-2")
        assert not allowed([policy(run, "collector")], action, aws__RequestedRegion="us-east-1")


def test_the_agent_writes_only_to_existing_groups(run):
    group = f"arn:aws:logs:us-east-2:{ACCOUNT}:log-group:/shoutback/shoutback-production/service"
    agent = [policy(run, "cloudwatch")]
    assert allowed(agent, "logs:PutLogEvents", f"{group}:log-stream:1")
    assert not allowed(agent, "logs:PutLogEvents", f"{group}-2:log-stream:1")
    for action in ("logs:CreateLogGroup", "logs:PutRetentionPolicy", "logs:DeleteLogStream", "logs:GetLogEvents"):
        assert not allowed(agent, action, group)
    assert allowed(agent, "cloudwatch:PutMetricData", cloudwatch__namespace="ContainerInsights")
    assert not allowed(agent, "cloudwatch:PutMetricData", cloudwatch__namespace="Another")


def test_log_groups_are_those_of_the_agent(run):
    names = {group.values["name"] for group in run.all("aws_cloudwatch_log_group")}
    insights = {f"/aws/containerinsights/shoutback-production/{kind}" for kind in ("application", "dataplane", "host", "performance")}
    assert names == insights | {"/shoutback/shoutback-production/service"}


def test_topics_accept_only_the_environments_alarms(run):
    for topic in run.all("aws_sns_topic_policy"):
        policy, arn = json.loads(topic.values["policy"]), f"{TOPIC}-{topic.index}"
        own = {"aws:SourceAccount": ACCOUNT, "aws:SourceArn": f"{ALARMS}:production-ShoutbackReplicaDown-page", "aws:SecureTransport": "true"}
        service = "cloudwatch.amazonaws.com"
        assert allowed([policy], "sns:Publish", arn, principal=service, keys=own)
        for key, other in [
            ("aws:SourceAccount", "444455556666"),
            ("aws:SourceArn", f"{ALARMS}:staging-ShoutbackReplicaDown-page"),
            ("aws:SecureTransport", "false"),
        ]:
            assert not allowed([policy], "sns:Publish", arn, principal=service, keys=own | {key: other})
        assert not allowed([policy], "sns:Publish", arn, principal="events.amazonaws.com", keys=own)
        assert not allowed([policy], "sns:Subscribe", arn, principal=service, keys=own)


def sections_of(text):
    """Returns the settings of Fluent Bit's sections by name."""
    found = []
    for line in text.splitlines():
        if header := re.fullmatch(r"\[(\w+)\]", line.strip()):
            found.append((header[1], {}))
        elif line.strip() and not line.startswith("#"):
            name, value = line.split(None, 1)
            found[-1][1][name] = value
    return dict(found)


def test_fluent_bit_forwards_the_services_lines_once_and_unchanged(run):
    configuration = json.loads(run.one("aws_eks_addon")["configuration_values"])
    files = configuration["containerLogs"]["fluentBit"]["config"]["extraFiles"]
    sections = sections_of(files["shoutback.conf"])
    # The kubelet's names, POD_NAMESPACE_CONTAINER-ID.log, and the tags of the add-on's own input.
    own = "/var/log/containers/shoutback-6d5f7c9b8-x2x4z_shoutback_shoutback-0123456789abcdef.log"
    others = [
        "/var/log/containers/shoutback-6d5f7c9b8-x2x4z_shoutback_filebeat-0123456789abcdef.log",
        "/var/log/containers/shoutback-6d5f7c9b8-x2x4z_default_shoutback-0123456789abcdef.log",
    ]
    for file in [own, *others]:
        assert fnmatch.fnmatchcase(file, sections["INPUT"]["Path"]) == (file == own)
        assert fnmatch.fnmatchcase("application" + file.replace("/", "."), sections["FILTER"]["Match"]) == (file == own)
    assert sections["FILTER"]["Name"] == "grep" and sections["FILTER"]["Exclude"] == "log .*"
    assert sections["OUTPUT"]["log_key"] == "log" and sections["OUTPUT"]["log_group_name"] == "/shoutback/shoutback-production/service"
    assert sections["OUTPUT"]["auto_create_group"] == "false" and sections["OUTPUT"]["region"] == "${AWS_REGION}"
    # The file comes last: the lines that it excludes have their tags by then.
    assert sorted(["application-log.conf", *files])[-1] == "shoutback.conf"
    assert configuration["applicationSignals"] == {"enabled": False}


def test_the_names_of_containers_and_namespace_match_fluent_bits():
    assert re.search(r"^ +- name: shoutback$", (ROOT / "helm/shoutback/templates/deployment.yaml").read_text(), re.MULTILINE)
    assert re.search(r"^ +name: shoutback$", (ROOT / "gitops/platform/cluster/namespace/namespace.yaml").read_text(), re.MULTILINE)


def platform(run):
    return {alarm.index: alarm.values for alarm in run.all("aws_cloudwatch_metric_alarm")}


def test_a_silent_prometheus_pages(run):
    """Watchdog fires always; Alertmanager sends it to a topic, and the alarm counts the messages. No message is no data."""
    alarm = platform(run)["PrometheusHeartbeat"]
    [query] = alarm["metric_query"]
    [metric] = query["metric"]
    [topic] = [topic.values["name"] for topic in run.all("aws_sns_topic") if topic.name == "heartbeat"]
    assert (metric["namespace"], metric["metric_name"], metric["dimensions"], metric["stat"]) == ("AWS/SNS", "NumberOfMessagesPublished", {"TopicName": topic}, "Sum")
    assert alarm["treat_missing_data"] == "breaching" and (alarm["comparison_operator"], alarm["threshold"]) == ("LessThanThreshold", 1)
    assert alarm["alarm_actions"] == [f"{TOPIC}-page"]
    # Two of three messages may be late or lost: the alarm comes after as many periods as it has.
    assert metric["period"] * alarm["evaluation_periods"] == 900
    sender = [policy(run, "alertmanager")]
    arn = run.outputs["topic_arns"]["heartbeat"]
    assert allowed(sender, "sns:Publish", arn) and not allowed(sender, "sns:Publish", f"{TOPIC}-page")


def test_alarms_on_the_platform_watch_from_outside_the_cluster(run):
    """By metrics that AWS makes, of resources of this environment only."""
    alarms = platform(run)
    assert {name.partition("-")[0] for name in alarms} == {"PrometheusHeartbeat", "NatGatewayPorts", "NodesFailed", "PodsWithoutNode", "LoadBalancerWithoutTargets", "LoadBalancerUnhealthyTargets"}
    for alarm in alarms.values():
        [query] = alarm["metric_query"]
        assert re.search(r"WHERE LoadBalancer = 'net/(shoutback-production|k8s-nginxint)/0123456789abcdef'$", query["expression"]) if query["expression"] else query["metric"][0]["namespace"] in ("AWS/EKS", "AWS/NATGateway", "AWS/SNS", "ContainerInsights")
        severity = alarm["alarm_name"].rpartition("-")[2]
        assert alarm["alarm_actions"] == alarm["ok_actions"] == [f"{TOPIC}-{severity}"]
    assert alarms["LoadBalancerWithoutTargets-shoutback-production"]["treat_missing_data"] == "breaching"


def test_a_cluster_without_nodes_is_noticed(run):
    """The control plane counts the pods that wait, whether or not anything runs; the add-on counts failed nodes. Names and dimension: EKS User Guide,
    "Monitor cluster data with Amazon CloudWatch", and CloudWatch User Guide, "Amazon EKS and Kubernetes Container Insights metrics"."""
    for name, source in {"PodsWithoutNode": ("AWS/EKS", "scheduler_pending_pods_UNSCHEDULABLE"), "NodesFailed": ("ContainerInsights", "cluster_failed_node_count")}.items():
        alarm = platform(run)[name]
        [metric] = alarm["metric_query"][0]["metric"]
        assert (metric["namespace"], metric["metric_name"], metric["dimensions"]) == (*source, {"ClusterName": "shoutback-production"})
        # A pod that waits a few minutes for its new node is normal: every minute of the 15 has to have one.
        assert (metric["stat"], metric["period"] * alarm["evaluation_periods"], alarm["threshold"]) == ("Minimum", 900, 0)


def test_every_platform_alarm_links_to_its_section(run):
    sections = {title.lower() for title in re.findall(r"^## (\w+)$", (ROOT / "docs/platform-alarms.md").read_text(), re.MULTILINE)}
    for alarm in platform(run).values():
        page, anchor = alarm["alarm_description"].split()[-1].split("#")
        assert page == "https://docs.example.com/shoutback/platform-alarms.md" and anchor in sections
