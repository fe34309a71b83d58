"""Guard rails of the account: what is recorded, and what is notified."""

import fnmatch
import json
import re

import pytest
from iam import allowed

FOLDER = "modules/guard-rails"
BUCKET = "arn:aws:s3:::shoutback-terraform-111122223333"


@pytest.fixture
def run(tested):
    return tested["guard-rails/everything"]


def matches(pattern, event):
    """Evaluates a filter of CloudWatch Logs: a conjunction of terms, or of alternatives of them: comparisons of strings, with * as wildcard, and
    NOT EXISTS."""

    def value(path):
        found = event
        for name in re.findall(r"\w+", path.removeprefix("$")):
            found = found[int(name)] if name.isdigit() and isinstance(found, list) else (found or {}).get(name)
            if found is None:
                return None
        return found

    def holds(term):
        path, operator, text = re.fullmatch(r'\((\$[\w.\[\]]+) (=|!=|NOT EXISTS)(?: "([^"]*)")?\)', term).groups()
        actual = value(path)
        if operator == "NOT EXISTS":
            return actual is None
        # Every comparison of a field that an event lacks is false.
        return actual is not None and fnmatch.fnmatchcase(actual, text) == (operator == "=")

    groups = re.fullmatch(r"\{ (.*) \}", pattern)[1].split(" && ")
    return all(any(map(holds, group[1:-1].split(" || ") if " || " in group else [group])) for group in groups)


def filters(run):
    return {one.index: one.values["pattern"] for one in run.all("aws_cloudwatch_log_metric_filter")}


def assumed(name, action="AssumeRoleWithWebIdentity", **more):
    return {"eventName": action, "requestParameters": {"roleArn": f"arn:aws:iam::111122223333:role/{name}"}} | more


# Events of CloudTrail, and the alarms that they raise.
EVENTS = [
    (assumed("shoutback-production-apply"), {"apply-role-assumed"}),
    (assumed("shoutback-staging-apply", "AssumeRole"), {"apply-role-assumed"}),
    (assumed("shoutback-staging-apply", errorCode="AccessDenied"), set()),
    (assumed("shoutback-staging-plan"), set()),
    (assumed("BreakGlass", "AssumeRoleWithSAML"), {"break-glass-assumed"}),
    (assumed("BreakGlass", "AssumeRole"), {"break-glass-assumed"}),
    (assumed("SRE", "AssumeRoleWithSAML"), set()),
]


def read(role, key, event="GetObject", bucket=BUCKET):
    return {"eventName": event, "resources": [{"ARN": f"{bucket}/{key}"}], "userIdentity": {"sessionContext": {"sessionIssuer": {"userName": role}}}}


EVENTS += [
    (read("AWSReservedSSO_AdministratorAccess_0123456789abcdef", "production/terraform.tfstate"), {"state-read-by-person"}),
    (read("shoutback-production-plan", "production/terraform.tfstate"), set()),
    (read("Administrator", "AWSLogs/1", bucket="arn:aws:s3:::shoutback-trail-111122223333"), set()),
    (read("Administrator", "production/terraform.tfstate", event="HeadObject"), set()),
    # A user, and the account's root.
    ({"eventName": "GetObject", "resources": [{"ARN": f"{BUCKET}/production/terraform.tfstate"}], "userIdentity": {"type": "IAMUser"}}, {"state-read-by-person"}),
    ({"eventName": "GetObject", "resources": [{"ARN": f"{BUCKET}/production/terraform.tfstate"}], "userIdentity": {"type": "Root"}}, {"state-read-by-person"}),
]


@pytest.mark.parametrize(("event", "raised"), EVENTS, ids=lambda value: json.dumps(value)[:90] if isinstance(value, dict) else ",".join(value) or "nothing")
def test_alarms_on_what_should_be_rare(run, event, raised):
    assert {name for name, pattern in filters(run).items() if matches(pattern, event)} == raised
    alarms = {alarm.values["metric_name"]: alarm.values for alarm in run.all("aws_cloudwatch_metric_alarm")}
    assert alarms.keys() == filters(run).keys()
    assert all(alarm["alarm_actions"] and alarm["threshold"] == 0 and alarm["statistic"] == "Sum" for alarm in alarms.values())


def test_the_trail_has_the_reads_of_the_state(run):
    fields = [{field["field"]: field["equals"] or field["starts_with"] for field in selector["field_selector"]} for selector in run.one("aws_cloudtrail")["advanced_event_selector"]]
    assert {"eventCategory": ["Management"]} in fields
    objects = {"eventCategory": ["Data"], "resources.type": ["AWS::S3::Object"]}
    assert objects | {"resources.ARN": [f"{BUCKET}/"]} in fields


def test_the_trail_has_the_reads_of_itself(run):
    """No writes: CloudTrail's own would be events that it writes again."""
    fields = [{field["field"]: field["equals"] or field["starts_with"] for field in selector["field_selector"]} for selector in run.one("aws_cloudtrail")["advanced_event_selector"]]
    [own] = [field for field in fields if field.get("readOnly")]
    [bucket] = [bucket.values["arn"] for bucket in run.all("aws_s3_bucket")]
    assert own == {"eventCategory": ["Data"], "resources.type": ["AWS::S3::Object"], "readOnly": ["true"], "resources.ARN": [f"{bucket}/"]}


def test_every_sender_may_publish(run):
    """An alarm, a budget or a rule without permission would fail only when it matters."""
    policy, arn = json.loads(run.one("aws_sns_topic_policy")["policy"]), run.one("aws_sns_topic")["arn"]
    for service in ("budgets", "cloudwatch", "costalerts", "events"):
        assert allowed([policy], "sns:Publish", arn, principal=f"{service}.amazonaws.com", keys={"aws:SourceAccount": "111122223333"})
    assert run.one("aws_budgets_budget")["notification"] and all(n["subscriber_sns_topic_arns"] == [arn] for n in run.one("aws_budgets_budget")["notification"])
    assert [subscriber["address"] for subscriber in run.one("aws_ce_anomaly_subscription")["subscriber"]] == [arn]
    assert {target.values["arn"] for target in run.all("aws_cloudwatch_event_target")} == {arn}


def test_only_this_account_publishes(run):
    policy, arn = json.loads(run.one("aws_sns_topic_policy")["policy"]), run.one("aws_sns_topic")["arn"]
    assert not allowed([policy], "sns:Publish", arn, principal="cloudwatch.amazonaws.com", keys={"aws:SourceAccount": "444455556666"})
    assert not allowed([policy], "sns:Publish", arn, principal="lambda.amazonaws.com", keys={"aws:SourceAccount": "111122223333"})


def test_the_trail_writes_only_to_its_own_folder(run):
    [policy] = [json.loads(policy.values["policy"]) for policy in run.all("aws_s3_bucket_policy")]
    own = {"aws:SourceArn": "arn:aws:cloudtrail:us-east-2:111122223333:trail/shoutback", "aws:SecureTransport": "true", "s3:TlsVersion": "1.3"}
    bucket = "arn:aws:s3:::shoutback-trail-111122223333"
    for resource in (bucket, f"{bucket}/AWSLogs/111122223333/CloudTrail/1"):
        action = "s3:GetBucketAcl" if resource == bucket else "s3:PutObject"
        assert allowed([policy], action, resource, principal="cloudtrail.amazonaws.com", keys=own)
        assert not allowed([policy], action, resource, principal="cloudtrail.amazonaws.com", keys=own | {"aws:SourceArn": own["aws:SourceArn"] + "2"})
    assert not allowed([policy], "s3:PutObject", f"{bucket}/AWSLogs/444455556666/CloudTrail/1", principal="cloudtrail.amazonaws.com", keys=own)
