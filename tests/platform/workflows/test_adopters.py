"""A copy that was filled in as docs/deploy.md says, in a repository of another name, passes the checks of what people edit."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from workflows import TOP

from harness.git import git, inherited, listed

# By the beginning of a placeholder's name; others get a word.
VALUES = {
    "ORG": "acme",
    "REPOSITORY": "acme/shouting",
    "ACCOUNT_ID": "444455556666",
    "REGION": "ap-southeast-2",
    "USER_POOL_ID": "ap-southeast-2_AbCdEfGhI",
    "VPC_ID": "vpc-0123456789abcdef0",
    "ZONE_ID": "Z0123456789ABCDEFGHIJ",
}


def value(name):
    return VALUES.get(name) or ("1234567" if name.endswith("_ID") else f"{name.lower().replace('_', '-')}.acme.example")


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    directory = tmp_path_factory.mktemp("fork") / "shouting"
    for name in listed(TOP):
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(TOP / name, directory / name, follow_symlinks=False)
    filled = 0
    for name in listed(TOP, "gitops", ".github"):
        file = directory / name
        if not file.is_symlink() and "REPLACE_WITH_" in (text := file.read_text()) and file.suffix != ".md":
            file.write_text(re.sub(r"REPLACE_WITH_([A-Z]+(?:_[A-Z]+)*)", lambda found: value(found[1]), text))
            filled += 1
    assert filled >= 3
    for file in [*(directory / "terraform").glob("*/*.s3.tfbackend"), *(directory / "terraform").glob("*/*.tfvars")]:
        file.write_text(file.read_text().replace("111122223333", "444455556666").replace("us-east-2", "ap-southeast-2"))
    git(directory, "init", "--quiet")
    git(directory, "add", "--all")
    git(directory, "commit", "--quiet", "--message", "Fill in")
    git(directory, "remote", "add", "origin", "https://github.com/acme/shouting.git")
    return directory


def passes(copy, python, *tests):
    done = subprocess.run(
        [python, "-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider", *tests],
        cwd=copy,
        # The environment of a suite has its programs beside its Python.
        env=inherited() | {"PATH": f"{Path(python).parent}:{os.environ['PATH']}", "PYTHONPATH": "tests", "GITHUB_REPOSITORY": "acme/shouting"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    return done.stdout


def test_its_workflows_and_owners_pass(copy):
    tests = [f"tests/platform/workflows/test_{name}.py" for name in ("repository", "rules", "page")]
    assert "passed" in passes(copy, sys.executable, *tests)


def python_of(folder):
    """Returns the Python of another suite."""
    command = [TOP / "scripts/tools", "dir", f"python:{folder}/requirements.txt"]
    return subprocess.run(command, env=os.environ, stdout=subprocess.PIPE, text=True, check=True).stdout.strip() + "/bin/python"


def test_its_static_files_pass(copy):
    tests = [f"tests/repository/static/test_{name}.py" for name in ("chart_values", "data", "structure")]
    assert "passed" in passes(copy, python_of("tests/repository/static"), *tests)


def test_its_accounts_pass(copy):
    """The tests of Terraform that read the values of the environments, without those that plan; these have the examples, too."""
    tests = *(f"tests/platform/terraform/test_{name}.py" for name in ("environment", "preflight", "deploy")), "-k", "backend or remaining or wrong_input or region or addresses or values_differ or examples or are_merged"
    assert "passed" in passes(copy, python_of("tests/platform/terraform"), *tests)


def test_its_values_pass(copy):
    """The tests of the chart that read the values of the environments."""
    assert "passed" in passes(copy, python_of("tests/platform/chart"), "tests/platform/chart/test_invalid_values.py", "-k", "TestAnEnvironment")
