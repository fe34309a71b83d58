"""scripts/aws/preflight, with stand-ins for the AWS CLI and curl whose responses are those that AWS documents."""

import json
import os
import re
import subprocess
import sys

import pytest
from folders import ROOT

NUMBER = "444455556666"
MONITOR = "arn:aws:ce::444455556666:anomalymonitor/1"

# Responses of an account that has everything, by service and operation; an error is a text.
GOOD = {
    "sts get-caller-identity": {"Account": NUMBER},
    "ec2 describe-addresses": {"Addresses": []},
    "service-quotas get-service-quota L-1216C47A": {"Quota": {"Value": 64.0}},
    "service-quotas get-service-quota L-0263D0A3": {"Quota": {"Value": 5.0}},
    "eks describe-cluster-versions": {"clusterVersions": [{"clusterVersion": "1.36", "versionStatus": "STANDARD_SUPPORT"}]},
    "eks describe-addon-versions": {"addons": [{"addonVersions": [{"addonVersion": "v6.3.0-eksbuild.1"}, {"addonVersion": "v6.2.0-eksbuild.1"}]}]},
    "configure export-credentials": {"AccessKeyId": "AKIAEXAMPLE", "SecretAccessKey": "secret-of-the-test", "SessionToken": "token-of-the-test"},
    "ce get-anomaly-monitors": {"AnomalyMonitors": []},
    "cloudtrail describe-trails": {"trailList": [{"TrailARN": "arn:aws:cloudtrail:us-east-2:111122223333:trail/organization"}]},
    "cloudtrail get-event-selectors": {"AdvancedEventSelectors": [{"FieldSelectors": [{"Field": "resources.type", "Equals": ["AWS::S3::Object"]}]}]},
    "guardduty list-detectors": {"DetectorIds": ["1"]},
    "guardduty get-detector": {"Status": "ENABLED"},
}
AWS = """import json, os, sys
arguments = sys.argv[1:]
answers = json.loads(os.environ["ANSWERS"])
name = " ".join(arguments[:2])
if "--quota-code" in arguments:
    name += " " + arguments[arguments.index("--quota-code") + 1]
answer = answers[name]
if isinstance(answer, str):
    sys.exit(answer)
print(json.dumps(answer))
"""
CURL = """import json, os, sys
with open(os.environ["REQUESTS"], "a") as file:
    file.write(json.dumps([sys.argv[1:], sys.stdin.read()]) + "\\n")
print(json.loads(os.environ["STATUSES"])["metrics" if "v1/metrics" in sys.argv[-1] else "query"], end="")
"""


@pytest.fixture
def preflight(tmp_path):
    """Returns a function that runs it with the shipped values, replaced texts, and responses."""
    subprocess.run(["cp", "--recursive", "--parents", "scripts/aws", "terraform/environment", "terraform/bootstrap", tmp_path], cwd=ROOT, check=True)
    for file in tmp_path.rglob("*.tfvars"):
        file.write_text(file.read_text().replace("111122223333", NUMBER))
    (tmp_path / "bin").mkdir()
    for name, text in (("aws", AWS), ("curl", CURL)):
        (tmp_path / "bin" / name).write_text(f"#!{sys.executable}\n{text}")
        (tmp_path / "bin" / name).chmod(0o755)

    def run(*names, edit=(), statuses=("200", "200"), **answers):
        for file, old, new in edit:
            path = tmp_path / "terraform" / file
            assert old in path.read_text()
            path.write_text(path.read_text().replace(old, new))
        given = GOOD | {name.replace("__", " ").replace("_", "-"): answer for name, answer in answers.items()}
        variables = {
            "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
            "ANSWERS": json.dumps(given),
            "STATUSES": json.dumps(dict(zip(("query", "metrics"), statuses, strict=True))),
            "REQUESTS": str(tmp_path / "requests"),
        }
        return subprocess.run([sys.executable, tmp_path / "scripts/aws/preflight", *names], env=variables, capture_output=True, text=True)

    run.requests = lambda: [json.loads(line) for line in (tmp_path / "requests").read_text().splitlines()]
    return run


def missing(done):
    return [line.split(None, 1)[1] for line in done.stdout.splitlines() if line.startswith("MISSING")]


def test_an_account_with_everything_passes(preflight):
    done = preflight()
    assert (done.returncode, missing(done)) == (0, []), done.stdout + done.stderr
    assert done.stdout.count("\nok") + 1 >= 8


def test_a_new_account_has_too_few_cpus(preflight):
    done = preflight(**{"service_quotas__get_service_quota L-1216C47A": {"Quota": {"Value": 5.0}}})
    assert done.returncode == 1
    [line] = missing(done)
    assert "5, of which 48 are needed in us-east-2" in line
    assert "--quota-code L-1216C47A --desired-value 48 --region us-east-2" in done.stdout


def test_addresses_that_others_use_count(preflight):
    """Staging has one NAT gateway, production three; the default quota is five."""
    others = [{"Tags": []}, {"Tags": [{"Key": "environment", "Value": "other"}]}]
    done = preflight(ec2__describe_addresses={"Addresses": others})
    assert done.returncode == 1 and "6 are needed" in missing(done)[0]
    own = [{"Tags": [{"Key": "environment", "Value": "production"}]}] * 3
    assert preflight(ec2__describe_addresses={"Addresses": own}).returncode == 0


def test_a_version_without_support_is_found(preflight):
    done = preflight(eks__describe_cluster_versions={"clusterVersions": [{"versionStatus": "EXTENDED_SUPPORT"}]})
    assert done.returncode == 1 and len(missing(done)) == 2
    done = preflight(eks__describe_addon_versions={"addons": [{"addonVersions": [{"addonVersion": "v6.3.0-eksbuild.1"}]}]})
    assert done.returncode == 1 and "such as v6.3.0-eksbuild.1" in done.stdout


@pytest.mark.parametrize(("statuses", "what"), [(("404", "200"), "PromQL"), (("200", "404"), "OTLP metrics"), (("000", "200"), "PromQL")])
def test_a_region_without_otlp_or_promql_is_found(preflight, statuses, what):
    done = preflight(statuses=statuses)
    assert done.returncode == 1 and [f"CloudWatch has {what} in us-east-2" in line for line in missing(done)] == [True]


def test_credentials_are_not_on_the_command_line(preflight):
    preflight()
    requests = preflight.requests()
    assert {arguments[-1].partition("?")[0] for arguments, _ in requests} == {"https://monitoring.us-east-2.amazonaws.com/api/v1/query", "https://monitoring.us-east-2.amazonaws.com/v1/metrics"}
    for arguments, stdin in requests:
        assert "secret-of-the-test" in stdin and "token-of-the-test" in stdin and 'aws-sigv4 = "aws:amz:us-east-2:monitoring"' in stdin
        assert "of-the-test" not in " ".join(arguments)


WITHOUT = ("bootstrap/bootstrap.tfvars", "monthly_budget       = 2200", "monthly_budget       = 1800\n  trail                = false\n  guardduty            = false")


def test_guard_rails_of_the_organization_are_checked(preflight):
    assert preflight(edit=[WITHOUT]).returncode == 0
    done = preflight(cloudtrail__get_event_selectors={"EventSelectors": [{"IncludeManagementEvents": True, "DataResources": []}]}, guardduty__list_detectors={"DetectorIds": []})
    assert done.returncode == 1 and len(missing(done)) == 2
    other = [{"FieldSelectors": [{"Field": "resources.type", "Equals": ["AWS::S3::Object"]}, {"Field": "resources.ARN", "StartsWith": ["arn:aws:s3:::other/"]}]}]
    done = preflight(cloudtrail__get_event_selectors={"AdvancedEventSelectors": other})
    assert done.returncode == 1 and f"shoutback-terraform-{NUMBER}" in missing(done)[0]


def test_an_existing_monitor_of_costs_has_to_be_named(preflight):
    monitors = {"AnomalyMonitors": [{"MonitorArn": MONITOR, "MonitorName": "Default-Services-Monitor", "MonitorDimension": "SERVICE"}]}
    done = preflight(ce__get_anomaly_monitors=monitors)
    assert done.returncode == 1 and f'guard_rails.anomaly_monitor_arn = "{MONITOR}"' in done.stdout
    named = ("bootstrap/bootstrap.tfvars", "monthly_budget       = 2200", f'monthly_budget       = 1800\n  anomaly_monitor_arn  = "{MONITOR}"')
    assert preflight(edit=[named], ce__get_anomaly_monitors=monitors).returncode == 0


def test_an_environment_of_another_account_is_left_out(preflight):
    done = preflight(edit=[("environment/production.tfvars", f'account = {{ id = "{NUMBER}"', 'account = { id = "222233334444"')])
    assert done.returncode == 0 and "left out  production: it is in the account 222233334444" in done.stdout
    assert "16 are needed" in done.stdout


def test_a_request_that_aws_rejects_is_not_a_success(preflight):
    done = preflight(**{"service_quotas__get_service_quota L-1216C47A": "AccessDeniedException"})
    assert done.returncode == 1 and "AccessDeniedException" in done.stderr
    assert preflight(sts__get_caller_identity="ExpiredToken").returncode == 2


@pytest.mark.parametrize("arguments", [["--help"], ["nowhere"]])
def test_wrong_usage(preflight, arguments):
    assert preflight(*arguments).returncode == 2


def test_cpus_are_twice_those_of_the_nodes():
    text = (ROOT / "docs/cost.md").read_text()
    row = re.search(r"^\| Nodes, (\d+) CPUs each.*?\| +(\d+) \|[^|]*\| +(\d+) \|", text, re.MULTILINE)
    each, staging, production = map(int, row.groups())
    script = (ROOT / "scripts/aws/preflight").read_text()
    assert f'CPUS = {{"staging": {2 * each * staging}, "production": {2 * each * production}}}' in script
