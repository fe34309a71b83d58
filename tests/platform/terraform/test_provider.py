"""The fake of hashicorp/aws: that Terraform finds it, what it rejects, and how it is built."""

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from folders import SHIPPED

from harness.terraform import ADDRESS, SOURCES, VERSION, environment, is_real, schema, stand_in

HARNESS = Path(__file__).resolve().parents[2]
CONFIGURATION = f"""
terraform {{
  required_providers {{
    aws = {{
      source  = "hashicorp/aws"
      version = "{VERSION}"
    }}
  }}
}}
"""

stand_in_only = pytest.mark.skipif(is_real(), reason="the real provider is used")


def terraform(folder, *arguments):
    return subprocess.run(["terraform", *arguments], cwd=folder, env=environment(), capture_output=True, text=True)


@pytest.fixture
def configured(tmp_path):
    """Returns a function that writes a configuration with the given text and initialises it."""

    def configured(text):
        (tmp_path / "main.tf").write_text(CONFIGURATION + text)
        done = terraform(tmp_path, "init", "-no-color")
        assert done.returncode == 0, done.stdout + done.stderr
        return tmp_path

    return configured


def test_terraform_pins_the_recorded_version():
    pinned = {root: re.findall(r'source = "hashicorp/aws", version = "(.+?)"', (SHIPPED / root / "versions.tf").read_text()) for root in ("bootstrap", "environment")}
    assert pinned == {"bootstrap": [VERSION], "environment": [VERSION]}


def test_terraform_selects_that_version(configured):
    folder = configured("")
    assert json.loads(terraform(folder, "version", "-json").stdout)["provider_selections"] == {ADDRESS: VERSION}
    if not is_real():
        [found] = folder.glob(f".terraform/providers/{ADDRESS}/{VERSION}/*")
        assert found.resolve().is_relative_to(stand_in())


def test_its_schema_is_the_recorded_one(configured):
    """Also on the real provider, which shows that the recording is of that version."""
    recorded = json.loads(gzip.decompress((SOURCES / "schema.json.gz").read_bytes()))
    served = schema(configured(""))
    assert served.keys() == recorded.keys()
    for kind in ("resource_schemas", "data_source_schemas"):
        assert served[kind].keys() == recorded[kind].keys()
        # By name, because the whole difference is too long to read.
        assert [name for name in recorded[kind] if without_descriptions(served[kind][name]) != without_descriptions(recorded[kind][name])] == []
    # Only the types have versions in the recording of 6.19.0, the provider itself has none.
    assert without_descriptions(served["provider"]["block"]) == without_descriptions(recorded["provider"]["block"])


def without_descriptions(value):
    """Removes attributes that are named `description`, which the recording of 6.19.0 lacks, and objects that are empty without them."""
    if not isinstance(value, dict):
        return value
    remaining = {key: without_descriptions(inner) for key, inner in value.items() if key != "description"}
    return {key: inner for key, inner in remaining.items() if inner != {}}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('resource "aws_s3_bucket" "a" { bukcet = "a" }', 'An argument named "bukcet" is not expected here'),
        ('resource "aws_iam_role" "a" {}', 'The argument "assume_role_policy" is required'),
        ('resource "aws_sqs_queue" "a" { delay_seconds = [1] }', 'Inappropriate value for attribute "delay_seconds"'),
        ('resource "aws_s3_bucket" "a" {}\noutput "a" { value = aws_s3_bucket.a.bukcet }', 'has no argument, nested block, or exported attribute named "bukcet"'),
        ('resource "aws_s3_buckets" "a" {}', 'does not support resource type "aws_s3_buckets"'),
        ('provider "aws" { regoin = "us-east-2" }\nresource "aws_s3_bucket" "a" {}', 'An argument named "regoin" is not expected here'),
    ],
)
def test_violations_of_the_schema_are_errors(configured, body, message):
    done = terraform(configured(body), "validate", "-no-color")
    assert done.returncode == 1
    assert message in re.sub(r"[\s│]+", " ", done.stderr)


def test_a_configuration_of_the_schema_is_valid(configured):
    done = terraform(configured('resource "aws_s3_bucket" "a" { bucket = "a" }'), "validate", "-no-color")
    assert done.returncode == 0, done.stderr


@stand_in_only
def test_a_plan_without_mocks_names_the_remedy(configured):
    done = terraform(configured('resource "aws_s3_bucket" "a" {}'), "plan", "-no-color")
    assert done.returncode == 1
    assert "This stand-in for hashicorp/aws cannot plan" in done.stderr and "mock_provider" in done.stderr


class Building:
    """Builds of the fake in a separate cache. Each `go build` is counted, and can fail on demand."""

    def __init__(self, directory):
        self.cache, self.calls = directory / "cache", directory / "calls"
        go = directory / "bin/go"
        go.parent.mkdir()
        go.write_text(f'#!/bin/sh\nif [ "$1" = build ]; then\n    echo build >>"{self.calls}"\n    [ -z "$GO_FAILS" ] || {{ echo "$GO_FAILS" >&2; exit 1; }}\nfi\nexec "{shutil.which("go")}" "$@"\n')
        go.chmod(0o755)
        # By default Go's cache is below XDG_CACHE_HOME; with its usual one a build takes seconds.
        go_cache = subprocess.run(["go", "env", "GOCACHE"], check=True, capture_output=True, text=True).stdout.strip()
        self.variables = os.environ | {
            "PATH": f"{go.parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(HARNESS),
            "XDG_CACHE_HOME": str(self.cache),
            "GOCACHE": go_cache,
            "SHOUTBACK_TERRAFORM_PROVIDER": "",
        }

    def start(self, **variables):
        program = "from harness.terraform import stand_in; print(stand_in())"
        return subprocess.Popen([sys.executable, "-c", program], env=self.variables | variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run(self, **variables):
        process = self.start(**variables)
        output, errors = process.communicate()
        return process.returncode, output.strip(), errors

    @property
    def builds(self):
        return self.calls.read_text().splitlines() if self.calls.exists() else []

    @property
    def remaining(self):
        return sorted(path.name for path in (self.cache / "shoutback/tools").iterdir() if not path.name.endswith(".lock"))


@pytest.fixture
def building(tmp_path):
    return Building(tmp_path)


def test_two_at_once_build_it_once(building):
    processes = [building.start(), building.start()]
    printed = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], printed
    [directory] = {Path(output.strip()) for output, _ in printed}
    assert (directory / "terraformrc").is_file() and directory.is_relative_to(building.cache)
    assert building.builds == ["build"] and building.remaining == [directory.name]


def test_leftovers_of_an_aborted_build_are_replaced(building):
    code, _, errors = building.run(GO_FAILS="no space left on device")
    assert code != 0 and "no space left on device" in errors and "set GOPROXY" in errors
    [partial] = building.remaining
    assert partial.endswith(".partial")
    (building.cache / "shoutback/tools" / partial / "half").write_text("")
    code, output, errors = building.run()
    assert code == 0, errors
    assert building.remaining == [Path(output).name] == [partial.removesuffix(".partial")]
    assert sorted(path.name for path in Path(output).iterdir()) == ["mirror", "terraformrc"]


def test_without_go_the_error_names_the_remedy(building, tmp_path):
    code, _, errors = building.run(PATH=str(tmp_path / "nothing"))
    assert code != 0 and "install Go, and put `go` on PATH" in errors


def test_the_callers_configuration_of_terraform_is_ignored(tmp_path):
    (tmp_path / "terraformrc").write_text(f'provider_installation {{\n  filesystem_mirror {{\n    path = "{tmp_path}"\n  }}\n}}\n')
    program = "from harness.terraform import environment; print(environment()['TF_CLI_CONFIG_FILE'])"
    given = os.environ | {"PYTHONPATH": str(HARNESS), "TF_CLI_CONFIG_FILE": str(tmp_path / "terraformrc")}
    for provider, used in (("", str(stand_in() / "terraformrc")), ("real", os.devnull)):
        variables = given | {"SHOUTBACK_TERRAFORM_PROVIDER": provider, "XDG_CACHE_HOME": str(stand_in().parents[2])}
        assert subprocess.run([sys.executable, "-c", program], env=variables, check=True, capture_output=True, text=True).stdout.strip() == used


@stand_in_only
def test_without_a_provider_the_tests_fail_with_a_message(building):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(Path(__file__).parent / "test_kms.py")],
        env=building.variables | {"GO_FAILS": "dial tcp: no such host"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "error: Terraform was not tested, because its provider is missing." in done.stdout + done.stderr
