"""Linters of shell scripts, workflow steps, Python files and the Dockerfile."""

import re

import pytest
import yaml
from files import HERE, TOP, ending, files, interpreter, run

# Without a shebang, and not run by bash like the other *.sh files.
POSIX = {"helm/shoutback/files/test.sh", "src/http/docs/examples/shout.sh"}


def shell_scripts():
    """Returns the names of all shell scripts, by shell. Sourced files and those of the chart have no shebang."""
    scripts = {"bash": [], "sh": []}
    for name in files():
        program = interpreter(name) or ("bash" if name.endswith(".sh") else None)
        if program in scripts:
            scripts["sh" if name in POSIX else program].append(name)
    return scripts


def shellcheck(shell, *names, directory=TOP):
    options = [f"--rcfile={HERE / 'shellcheckrc'}", f"--source-path={TOP}", f"--shell={shell}", "--format=gcc"]
    # Variables that a sourced file sets are used by the files that source it.
    sourced = [name for name in names if str(name).endswith(".sh")]
    rest = [name for name in names if name not in sourced]
    finding = run("shellcheck", *options, *rest, directory=directory) if rest else ""
    return finding + (run("shellcheck", *options, "--exclude=SC2034", *sourced, directory=directory) if sourced else "")


@pytest.mark.parametrize("shell", ["bash", "sh"])
def test_shellcheck_finds_nothing(shell):
    names = shell_scripts()[shell]
    assert names
    assert shellcheck(shell, *names) == ""


@pytest.mark.parametrize(
    ("shell", "text", "finding"),
    [
        ("bash", "rm -r $1/x\n", "SC2086"),
        ("bash", "a=1\n", "SC2034"),
        ("bash", "cd /tmp\n", "SC2164"),
        ("bash", "source scripts/gone.sh\n", "SC1091"),
        ("sh", "[[ $1 == a* ]] && echo\n", "SC3010"),
        ("sh", "if true; then\n", "SC1072"),
    ],
)
def test_shellcheck_finds_faults(shell, text, finding, tmp_path):
    (tmp_path / "script").write_text(text)
    assert f"[{finding}]" in shellcheck(shell, tmp_path / "script")


def steps(text):
    """Yields the scripts of a workflow's steps, by job and number, with expressions replaced by a word."""
    data = yaml.load(text, yaml.BaseLoader)
    for job, described in {**data.get("jobs", {}), "": data.get("runs", {})}.items():
        for number, step in enumerate(described.get("steps", [])):
            if "run" in step and step.get("shell", "bash") in ("bash", "sh"):
                yield f"{job}-{number}", re.sub(r"\$\{\{.*?\}\}", "expression", step["run"], flags=re.DOTALL)


def of_workflow(text, directory):
    """Returns shellcheck's findings in a workflow's steps."""
    for name, script in steps(text):
        # As GitHub's runners do.
        (directory / name).write_text(f"set -eo pipefail\n{script}\n")
    return shellcheck("bash", *sorted(directory.iterdir()), directory=directory)


@pytest.mark.parametrize("name", [name for name in ending(".yml", ".yaml") if name.startswith(".github/workflows/")])
def test_shellcheck_finds_nothing_in_steps(name, tmp_path):
    assert of_workflow((TOP / name).read_text(), tmp_path) == ""


def test_shellcheck_finds_faults_in_steps(tmp_path):
    finding = of_workflow("jobs: {build: {steps: [{uses: a}, {run: 'echo $HOME/${{ inputs.x }}'}]}}", tmp_path)
    assert "build-1:" in finding and "[SC2086]" in finding


def python_files():
    return [name for name in files() if name.endswith(".py") or (interpreter(name) or "").startswith("python")]


def ruff(*names):
    return run("ruff", "check", "--no-cache", f"--config={HERE / 'ruff.toml'}", "--output-format=concise", "--quiet", *names)


def test_ruff_finds_nothing():
    assert len(python_files()) > 100
    assert ruff(*python_files()) == ""


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("import os\n", "F401"),
        ("print(gone)\n", "F821"),
        ("def f(x=[]):\n    return x\n", "B006"),
        ("try:\n    pass\nexcept:\n    pass\n", "E722"),
        ("if:\n", "invalid-syntax"),
        # Python 3.12 and later.
        ("type A = int\n", "invalid-syntax"),
    ],
)
def test_ruff_finds_faults(text, finding, tmp_path):
    (tmp_path / "file.py").write_text(text)
    assert finding in ruff(tmp_path / "file.py")


def test_modules_of_programs_share_what_they_define():
    """One class of errors and one client of GitHub, for instance, and not one for each folder."""
    modules = [path for path in sorted((TOP / "scripts").rglob("*.py")) if not path.is_symlink()]
    places = {}
    for module in modules:
        for name in re.findall(r"^(?:class|def) (\w+)", module.read_text(), re.M):
            places.setdefault(name, []).append(str(module.relative_to(TOP)))
    assert {name: found for name, found in places.items() if len(found) > 1} == {}
    # GitHub's API, and registries.
    assert [path.name for path in modules if "urlopen(" in path.read_text()] == ["api.py", "registry.py"]


def hadolint(name):
    return run("hadolint", "--no-color", name)


def test_hadolint_finds_nothing():
    assert hadolint("Dockerfile") == ""


@pytest.mark.parametrize(
    ("text", "finding"), [("FROM debian\n", "DL3006"), ("FROM debian:12\nRUN cd /tmp\n", "DL3003"), ("FROM debian:12\nRUN\n", "missing whitespace")]
)
def test_hadolint_finds_faults(text, finding, tmp_path):
    (tmp_path / "Dockerfile").write_text(text)
    assert finding in hadolint(tmp_path / "Dockerfile")
