"""The project can be renamed: nothing has the old name afterwards, and it still builds."""

import os
import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[3]
OLD = "shout" + "back"


def run(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, **options)


@pytest.fixture
def clone(tmp_path):
    run("git", "clone", "--quiet", "--shared", TOP, tmp_path / "clone", check=True)
    return tmp_path / "clone"


def test_a_renamed_project_builds_and_has_the_old_name_nowhere(clone):
    done = run("scripts/rename", "greeter", cwd=clone)
    assert done.returncode == 0, done.stderr
    assert run("git", "grep", "--ignore-case", "--files-with-matches", OLD, cwd=clone).stdout == ""
    files = run("git", "ls-files", cwd=clone).stdout
    assert OLD not in files.lower()
    assert "helm/greeter/Chart.yaml" in files.splitlines()
    assert [link for link in clone.rglob("*") if link.is_symlink() and not link.exists()] == []
    # Dependencies were built for the project itself.
    target = os.environ.get("CARGO_TARGET_DIR", TOP / "target")
    done = run("cargo", "test", "--offline", "--locked", "--features", "dev", "--lib", "config::", cwd=clone, env=os.environ | {"CARGO_TARGET_DIR": str(target)})
    assert done.returncode == 0, done.stderr
    assert "Running unittests src/lib.rs" in done.stderr and "deps/greeter-" in done.stderr


@pytest.mark.parametrize("name", ["", "Greeter", "9lives", "hello-world", "a", "longerthan10"])
def test_names_that_cannot_be_used_are_rejected(clone, name):
    done = run("scripts/rename", name, cwd=clone)
    assert (done.returncode, run("git", "status", "--porcelain", cwd=clone).stdout) == (2, "")


def test_uncommitted_changes_are_not_mixed_with_its_own(clone):
    (clone / "README.md").write_text("changed\n")
    done = run("scripts/rename", "greeter", cwd=clone)
    assert done.returncode == 1 and "uncommitted" in done.stderr
    assert run("git", "status", "--porcelain", cwd=clone).stdout == " M README.md\n"
