"""checkov's findings in the shipped folders: only those with an exception beside the resource, with a reason. Needs no Terraform."""

import json
import os
import re
import shutil
import subprocess

from folders import SHIPPED

EXCEPTION = re.compile(r"^ *# checkov:skip=(\w+): (.+)$")


def exceptions():
    """Returns the exceptions beside the resources as file, resource, check."""
    found = set()
    for file in SHIPPED.rglob("*.tf"):
        if ".terraform" in file.parts:
            continue
        resource = None
        for line in file.read_text().splitlines():
            if header := re.match(r'(?:resource|data) "(\w+)" "(\w+)"', line):
                resource = ".".join(header.groups())
            if "checkov" in line:
                exception = EXCEPTION.match(line)
                assert exception and resource, f"{file}: neither check nor reason: {line}"
                found.add((f"/{file.relative_to(SHIPPED)}", resource, exception[1]))
    return found


def test_the_findings_are_the_exceptions(tmp_path):
    """Runs without the exceptions, so that superfluous ones are found, too."""
    copy = tmp_path / "terraform"
    shutil.copytree(SHIPPED, copy, ignore=shutil.ignore_patterns(".terraform*", "terraform.tfstate*"))
    for file in copy.rglob("*.tf"):
        file.write_text("".join("\n" if EXCEPTION.match(line.rstrip("\n")) else line for line in file.read_text().splitlines(keepends=True)))
    # With the values of staging, which are weaker than production's.
    values = [option for file in ("environment/staging.tfvars", "bootstrap/bootstrap.tfvars") for option in ("--var-file", str(copy / file))]
    done = subprocess.run(
        ["checkov", "--directory", str(copy), "--framework", "terraform", "--skip-download", "--compact", "--output", "json", *values],
        env={name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ} | {"LOG_LEVEL": "ERROR"},
        capture_output=True,
        text=True,
    )
    report = json.loads(done.stdout)
    assert report["summary"]["passed"] > 100 and report["summary"]["parsing_errors"] == 0, report["summary"]
    failed = {}
    for check in report["results"]["failed_checks"]:
        # Modules and resources may have an index with any content.
        resource = re.search(r"\baws_\w+\.\w+", check["resource"])[0]
        failed[check["file_path"], resource, check["check_id"]] = check["check_name"]
    assert failed.keys() - exceptions() == set(), failed
    assert exceptions() - failed.keys() == set(), "exceptions that are not needed"
