"""tflint with all rules that it carries, and checkov. What they find and we keep has its reason beside it."""

import json
import re
import shutil
import subprocess

import pytest
from folders import FOLDERS, SHIPPED, environment

CONFIGURATION = SHIPPED / ".tflint.hcl"
EXAMPLES = [f"{folder}/example" for folder in FOLDERS if (SHIPPED / folder / "example").is_dir()]

# An example is one file to read, and uses the provider only by the module that it shows.
NOT_FOR_EXAMPLES = ["terraform_documented_outputs", "terraform_standard_module_structure", "terraform_unused_required_providers"]


@pytest.mark.parametrize("folder", [*FOLDERS, *EXAMPLES])
def test_tflint_finds_nothing(folder):
    options = [f"--disable-rule={rule}" for rule in NOT_FOR_EXAMPLES if folder in EXAMPLES]
    done = subprocess.run(
        ["tflint", f"--chdir={SHIPPED / folder}", f"--config={CONFIGURATION}", "--no-color", "--format=compact", *options],
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


EXCEPTION = re.compile(r"^ *# checkov:skip=(\w+): (.+)$")


def exceptions():
    """Those beside the resources: file, resource, check."""
    found = set()
    for file in SHIPPED.rglob("*.tf"):
        if ".terraform" in file.parts:
            continue
        resource = None
        for line in file.read_text().splitlines():
            if header := re.match(r'(?:resource|data) "(\w+)" "(\w+)"', line):
                resource = ".".join(header.groups())
            if "checkov" in line:
                said = EXCEPTION.match(line)
                assert said and resource, f"{file}: neither check nor reason: {line}"
                found.add((f"/{file.relative_to(SHIPPED)}", resource, said[1]))
    return found


def test_checkov_finds_what_is_excepted_and_nothing_else(tmp_path):
    """Run without the exceptions, so that one which is no longer needed is found, too."""
    copy = tmp_path / "terraform"
    shutil.copytree(SHIPPED, copy, ignore=shutil.ignore_patterns(".terraform*", "terraform.tfstate*"))
    for file in copy.rglob("*.tf"):
        file.write_text("".join("\n" if EXCEPTION.match(line.rstrip("\n")) else line for line in file.read_text().splitlines(keepends=True)))
    done = subprocess.run(
        ["checkov", "--directory", str(copy), "--framework", "terraform", "--skip-download", "--compact", "--output", "json"],
        env=environment() | {"LOG_LEVEL": "ERROR"},
        capture_output=True,
        text=True,
    )
    report = json.loads(done.stdout)
    assert report["summary"]["passed"] > 100 and report["summary"]["parsing_errors"] == 0, report["summary"]
    failed = {}
    for check in report["results"]["failed_checks"]:
        # Modules and resources may have an index, and that anything in it.
        resource = re.search(r"\baws_\w+\.\w+", check["resource"])[0]
        failed[check["file_path"], resource, check["check_id"]] = check["check_name"]
    assert failed.keys() - exceptions() == set(), failed
    assert exceptions() - failed.keys() == set(), "exceptions that are not needed"
