"""Every folder: format, tests, and descriptions of its inputs and outputs."""

import re
import subprocess

import pytest
from folders import FOLDERS, SHIPPED, environment

from harness.terraform import VERSION

each = pytest.mark.parametrize("folder", FOLDERS)


def test_formatted():
    done = subprocess.run(["terraform", "fmt", "-check", "-recursive", "-diff", "-no-color"], cwd=SHIPPED, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@each
def test_valid(folder, tested, copy):
    """Depends on `tested`, after which provider and modules are installed."""
    done = copy.run(folder, "validate", "-no-color")
    assert done.returncode == 0, done.stdout + done.stderr


@each
def test_terraform_test_passes(folder, tested):
    wrong = {name: run.complaints for name, run in tested.items() if run.status != "pass"}
    assert not wrong


@each
def test_has_tests_of_resources_and_of_each_validation(folder, tested):
    assert any(run.resources for run in tested.values())
    files = "".join(file.read_text() for file in (SHIPPED / folder / "tests").glob("*.tftest.hcl"))
    rejected = set(re.findall(r"\bvar\.(\w+)", " ".join(re.findall(r"expect_failures = \[(.*?)\]", files, re.DOTALL))))
    validated = {name for name, block in blocks(folder, "variable").items() if "validation {" in block}
    assert validated <= rejected


def blocks(folder, kind):
    """Yields name and text of the folder's variables or outputs."""
    text = (SHIPPED / folder / f"{kind}s.tf").read_text()
    return {name: body for name, body in re.findall(rf'^{kind} "(\w+)" {{\n(.*?)^}}$', text, re.DOTALL | re.MULTILINE)}


def attribute(block, name):
    found = re.search(rf"^  {name} += (.*)$", block, re.MULTILINE)
    return found[1] if found else None


@each
def test_inputs_and_outputs_have_descriptions(folder):
    for name, block in blocks(folder, "variable").items():
        assert attribute(block, "type") and attribute(block, "description"), f"{name}: no type or no description"
    for name, block in blocks(folder, "output").items():
        assert attribute(block, "description"), f"{name}: no description"


@each
def test_versions_are_exact_in_roots_and_ranges_in_modules(folder):
    """An exact version in a module would keep a root from using a newer one."""
    text = (SHIPPED / folder / "versions.tf").read_text()
    [(minimum, version)] = re.findall(r'required_version = "(.*)".*aws = \{ source = "hashicorp/aws", version = "(.*)" \}', text, re.DOTALL)
    assert (minimum, version) == (">= 1.11", ">= 6.19, < 7" if folder.startswith("modules/") else VERSION)
