"""tflint with all its built-in rules."""

import subprocess

import pytest
from folders import FOLDERS, SHIPPED, environment

CONFIGURATION = SHIPPED / ".tflint.hcl"
EXAMPLES = [f"{folder}/example" for folder in FOLDERS if (SHIPPED / folder / "example").is_dir()]

# An example is a single file, and uses the provider only through its module.
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
