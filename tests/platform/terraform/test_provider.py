"""Without a provider nothing is tested, and that is not passed over in silence."""

import os
import subprocess
import sys
from pathlib import Path


def test_without_a_provider_the_tests_fail_and_say_so(tmp_path):
    (tmp_path / "terraformrc").write_text(f'provider_installation {{\n  filesystem_mirror {{\n    path = "{tmp_path}"\n  }}\n}}\n')
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(Path(__file__).parent / "test_kms.py")],
        env=os.environ | {"TF_CLI_CONFIG_FILE": str(tmp_path / "terraformrc")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "TERRAFORM WAS NOT TESTED: its provider cannot be had." in done.stdout + done.stderr
