"""tflint with all its built-in rules."""

import subprocess

import pytest
from folders import FOLDERS, SHIPPED, environment

CONFIGURATION = SHIPPED / ".tflint.hcl"

@pytest.mark.parametrize("folder", FOLDERS)
def test_tflint_finds_nothing(folder):
    done = subprocess.run(
        ["tflint", f"--chdir={SHIPPED / folder}", f"--config={CONFIGURATION}", "--no-color", "--format=compact"],
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
