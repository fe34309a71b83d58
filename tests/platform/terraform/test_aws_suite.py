"""scripts/aws/suite without an account: what it rejects, and that its steps are the documented ones."""

import os
import re
import subprocess
import sys

import pytest
from folders import ROOT, SHIPPED

SUITE = ROOT / "scripts/aws/suite"
GIVEN = {"SHOUTBACK_AWS_ACCOUNT": "444455556666", "SHOUTBACK_AWS_ZONE": "trial.shoutback.example.com", "SHOUTBACK_AWS_IMAGE": f"registry/shoutback@sha256:{'0' * 64}"}
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
        ({"SHOUTBACK_AWS_IMAGE": "registry/shoutback:latest"}, "with its digest"),
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
