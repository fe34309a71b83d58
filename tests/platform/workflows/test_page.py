"""docs/release.md: each arrow of its diagram names existing files, and its lists are complete."""

import re
import tomllib

import pytest
from workflows import TOP, read

PAGE = (TOP / "docs/release.md").read_text()
DRAWING = re.search(r"^```mermaid\n(.*?)^```", PAGE, re.M | re.S)[1]


def arrows():
    return [line.strip() for line in DRAWING.splitlines() if "--" in line]


@pytest.mark.parametrize("arrow", arrows())
def test_an_arrow_names_its_files(arrow):
    labels = re.search(r'-->\|"([^"]+)"\|', arrow)
    assert labels, "an arrow without a file"
    for name in re.sub(r"^review: ", "", labels[1]).split(", "):
        assert (TOP / name).is_file(), name


def test_the_diagram_is_connected():
    assert len(arrows()) > 15
    # Each end of an arrow is a node, and belongs to another arrow, too.
    names = [name for arrow in arrows() for name in re.findall(r"(?:^|\| )(\w+)", arrow)]
    assert all(re.search(rf"\b{name}[\[({{]", DRAWING) for name in set(names))
    assert {name for name in names if names.count(name) == 1} == {"pr", "good", "back"}


def test_each_program_describes_itself_and_its_folder_is_in_the_document():
    for folder in ("release", "github", "terraform"):
        assert f"](../scripts/{folder})" in PAGE
        for path in (TOP / "scripts" / folder).iterdir():
            if path.is_file() and path.stat().st_mode & 0o111:
                assert re.match(r'#!.*\n(?:# |""")\S+ \S+', path.read_text()), path
    for name in re.findall(r"`(scripts/[\w/-]+)`", PAGE):
        assert (TOP / name).exists(), name


def test_each_workflow_is_in_the_table():
    rows = set(re.findall(r"^\| `([\w-]+\.yml)` \|", PAGE, re.M))
    assert rows == read().keys()


def table(head):
    """Returns the names in the first cells of the table that begins so, with their kinds."""
    rows = re.search(rf"^\| {head} \|.*\n\|[-|]+\n((?:\|.*\n)+)", PAGE, re.M)[1]
    return {name: row.split("|")[2] for row in rows.splitlines() for name in re.findall(r"`([\w-]+)`", row.split("|")[1])}


@pytest.mark.parametrize(("kind", "head"), [("vars", "variable"), ("secrets", "secret")])
def test_the_documented_settings_are_the_used_ones(kind, head):
    used = {name for workflow in read().values() for name in re.findall(rf"\b{kind}\.([A-Z_]+)", workflow.text)}
    assert used == table(head).keys()


def test_each_environment_is_in_the_table():
    named = {job.environment for workflow in read().values() for job in workflow.jobs if job.environment}
    environments = table("environment").keys()
    assert {name for name in named if "$" not in name} <= environments
    # test_settings.py knows what the expressions can be.
    assert environments == tomllib.loads((TOP / ".github/settings.toml").read_text())["environment"].keys()


def test_a_variable_of_an_environment_is_used_only_by_its_jobs():
    environments = table("environment").keys()
    for name, where in (table("variable") | table("secret")).items():
        of = set(re.findall(r"`([\w-]+)`", where))
        assert of <= environments
        for workflow in read().values():
            for job in workflow.jobs:
                if re.search(rf"(?:vars|secrets)\.{name}\b", str(job.data)) and of:
                    assert job.environment, f"{workflow.name} {job.name}: {name}"
