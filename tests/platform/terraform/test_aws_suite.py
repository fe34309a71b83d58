"""scripts/aws/suite without an account: what it rejects, and that its steps are the documented ones."""

import json
import os
import re
import subprocess
import sys

import pytest
import yaml
from folders import ROOT, SHIPPED

SUITE = ROOT / "scripts/aws/suite"
GIVEN = {"SHOUTBACK_AWS_ACCOUNT": "444455556666", "SHOUTBACK_AWS_ZONE": "trial.shoutback.example.com", "SHOUTBACK_AWS_IMAGE": f"registry.example.com:5000/shoutback:1.0@sha256:{'0' * 64}"}
# Every call is recorded. The account of the credentials, and the number of resources of staging and production, are variables.
AWS = """import os, sys
with open(os.environ["CALLS"], "a") as file:
    file.write(" ".join(sys.argv[1:]) + "\\n")
if sys.argv[1:3] == ["sts", "get-caller-identity"]:
    print(os.environ["CALLER"])
elif sys.argv[1] == "resourcegroupstaggingapi":
    print(os.environ["RESOURCES"])
else:
    sys.exit("not reached in tests")
"""


@pytest.fixture
def suite(tmp_path):
    """Returns a function that runs a step with stand-ins for all programs that reach AWS or a cluster."""
    for name in ("aws", "terraform", "kubectl", "helm", "curl"):
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!{sys.executable}\n{AWS}")
        path.chmod(0o755)
    # Some installations of Python put other programs before these.
    (tmp_path / "bin/python3").symlink_to(sys.executable)

    def run(*arguments, caller="444455556666", resources="0", **variables):
        given = GIVEN | {name: value for name, value in variables.items() if value is not None}
        given = {name: value for name, value in given.items() if variables.get(name, value) is not None}
        environment = given | {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "HOME": str(tmp_path), "CALLS": str(tmp_path / "calls"), "CALLER": caller, "RESOURCES": resources}
        done = subprocess.run([SUITE, *arguments], env=environment, capture_output=True, text=True)
        calls = (tmp_path / "calls").read_text().splitlines() if (tmp_path / "calls").exists() else []
        return done, calls

    return run


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"SHOUTBACK_AWS_ACCOUNT": None}, "set SHOUTBACK_AWS_ACCOUNT"),
        ({"SHOUTBACK_AWS_ACCOUNT": ""}, "set SHOUTBACK_AWS_ACCOUNT"),
        ({"SHOUTBACK_AWS_ACCOUNT": "mine"}, "set SHOUTBACK_AWS_ACCOUNT"),
        ({"SHOUTBACK_AWS_ZONE": "example.com"}, "below a domain"),
        ({"SHOUTBACK_AWS_IMAGE": "registry/shoutback:1.0"}, "with tag and digest"),
        ({"SHOUTBACK_AWS_IMAGE": f"registry:5000/shoutback@sha256:{'0' * 64}"}, "with tag and digest"),
    ],
)
def test_nothing_is_called_without_an_explicit_account(suite, variables, message):
    done, calls = suite("all", **variables)
    assert done.returncode == 2 and message in done.stderr
    assert calls == []


@pytest.mark.parametrize(("given", "message"), [({"caller": "111122223333"}, "the credentials are of the account 111122223333"), ({"resources": "3"}, "has resources of staging")])
def test_another_account_is_not_touched(suite, given, message):
    done, calls = suite("destroy", **given)
    assert done.returncode == 1 and message in done.stderr
    assert {call.split()[0] for call in calls} <= {"sts", "resourcegroupstaggingapi"}


@pytest.mark.parametrize("arguments", [[], ["everything"], ["apply", "destroy"]])
def test_wrong_usage_creates_nothing(suite, arguments):
    done, calls = suite(*arguments)
    assert done.returncode == 2
    assert {call.split()[0] for call in calls} <= {"sts", "resourcegroupstaggingapi"}


def test_a_failing_step_ends_the_run(suite):
    done, calls = suite("all")
    assert done.returncode != 0 and done.stderr.count("=== ") == 1
    assert not [call for call in calls if re.search(r"\b(create|apply|init|install)\b", call)]


def test_steps_are_documented_in_their_order():
    [steps] = re.findall(r"^steps=\((.*)\)$", SUITE.read_text(), re.MULTILINE)
    page = (ROOT / "docs/aws-suite.md").read_text()
    rows = re.findall(r"^\| (\w+) \|", page.partition("| step |")[2], re.MULTILINE)
    assert rows == steps.split()
    assert "It has not been run" in page and "\ttest-aws" not in page


def test_its_values_are_those_of_the_root():
    """Every variable that it writes exists, and every required one is written."""
    written = set(re.findall(r"^(\w+) +=", SUITE.read_text().partition("<<END\n")[2].partition("\nEND\n")[0], re.MULTILINE))
    text = (SHIPPED / "environment/variables.tf").read_text()
    variables = dict(re.findall(r'^variable "(\w+)" \{\n(.*?)^\}$', text, re.DOTALL | re.MULTILINE))
    required = {name for name, body in variables.items() if not re.search(r"^  default +=", body, re.MULTILINE)}
    assert required <= written <= variables.keys()


OUTPUTS = {
    "dns": {"value": {"host": "api.trial.shoutback.example.com"}},
    "cognito": {"value": {"user_pool_id": "us-east-2_AbCdEfGhI", "client_ids": {"machine": "1machine23456789", "people": "1people234567890"}, "domain": "shoutback-trial.auth.us-east-2.amazoncognito.com", "machine_secret_name": "shoutback-trial-machine-client", "scope": "shoutback/shout", "token_url": "https://example.com/oauth2/token"}},
}
# Stand-ins for a cluster that has everything. Each call is recorded with its arguments.
WORKING = """import json, os, sys
name = os.path.basename(sys.argv[0])
with open(os.environ["CALLS"], "a") as file:
    file.write(json.dumps([name, *sys.argv[1:]]) + "\\n")
if sys.argv[1:3] == ["sts", "get-caller-identity"]:
    print(os.environ["CALLER"])
elif "resourcegroupstaggingapi" in sys.argv:
    print("" if "ResourceTagMappingList[].ResourceARN" in sys.argv else 0)
elif name == "terraform" and "output" in sys.argv:
    print(os.environ["OUTPUTS"])
elif "services" in sys.argv:
    print(json.dumps({"items": [{"status": {"loadBalancer": {}}}, {"status": {"loadBalancer": {"ingress": [{"hostname": "lb.example.com"}]}}}]}))
elif "secretsmanager" in sys.argv:
    print(json.dumps({"client_id": "1machine23456789", "client_secret": "secret-of-the-test"}))
elif name == "curl" and "https://example.com/oauth2/token" in sys.argv:
    print(json.dumps({"access_token": "token-of-the-test"}))
elif name == "curl":
    print(json.dumps({"data": "!DLROW ,OLLEH"}))
"""


@pytest.fixture
def working(suite, tmp_path):
    """Returns a function that runs a step on that cluster, and returns its calls."""
    for name in ("aws", "terraform", "kubectl", "helm", "curl"):
        (tmp_path / "bin" / name).write_text(f"#!{sys.executable}\n{WORKING}")

    def run(step):
        (tmp_path / "calls").unlink(missing_ok=True)
        done, calls = suite(step, OUTPUTS=json.dumps(OUTPUTS))
        assert done.returncode == 0, done.stderr
        return [json.loads(call) for call in calls]

    return run


def test_the_chart_accepts_the_values_of_the_deployment(working):
    """By the real Helm, with the recorded arguments."""
    [command] = [call for call in working("deploy") if call[:4] == ["helm", "upgrade", "--install", "shoutback"]]
    arguments = [argument for argument in command[4:] if argument not in ("--wait", "--timeout", "15m")]
    done = subprocess.run(["helm", "template", "shoutback", *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "REPLACE_WITH" not in done.stdout
    things = {thing["kind"]: thing for thing in yaml.safe_load_all(done.stdout) if thing}
    [container] = things["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert container["image"] == GIVEN["SHOUTBACK_AWS_IMAGE"]
    assert things["Ingress"]["spec"]["tls"] == [{"hosts": ["api.trial.shoutback.example.com"], "secretName": "trial"}]
    # Kinds whose definitions the trial does not install.
    assert not things.keys() & {"ServiceMonitor", "PrometheusRule"}


def test_requests_go_through_the_ingress(working):
    calls = working("deploy")
    [controller] = [call for call in calls if call[:4] == ["helm", "upgrade", "--install", "nginx-ingress"]]
    version = re.search(r"^  nginx-ingress: \{ version: ([^,]+),", (ROOT / "gitops/platform/values.yaml").read_text(), re.MULTILINE)[1]
    assert controller[controller.index("--version") + 1] == version
    for file in (controller[at + 1] for at, argument in enumerate(controller) if argument == "--values"):
        assert (ROOT / file).is_file()
    [request] = [call for call in working("shout") if call[0] == "curl" and "https://api.trial.shoutback.example.com/v1" in call]
    assert request[request.index("--connect-to") + 1] == "api.trial.shoutback.example.com:443:lb.example.com:443"
    assert "authorization: Bearer token-of-the-test" in request


def test_the_load_balancer_is_gone_before_its_network(working):
    calls = [" ".join(call) for call in working("destroy")]
    order = ["helm uninstall nginx-ingress", "elasticloadbalancing:loadbalancer", "destroy -auto-approve", "iam delete-policy"]
    positions = [next(at for at, call in enumerate(calls) if text in call) for text in order]
    assert positions == sorted(positions)
