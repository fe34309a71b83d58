"""What checkov finds in the shipped folders: nothing, but for what is excepted beside the resource, with a reason. Needs no Terraform."""

import json
import os
import re
import shutil
import subprocess

from folders import SHIPPED

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
        env={name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ} | {"LOG_LEVEL": "ERROR"},
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
