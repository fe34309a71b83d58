"""Code owners, and updates of versions by Renovate."""

import fnmatch
import json
import re
import tomllib

import pytest
import yaml
from workflows import TOP

from harness.git import listed

OWNERS = (TOP / ".github/CODEOWNERS").read_text()
RENOVATE = json.loads((TOP / "renovate.json").read_text())


def owned():
    return dict(line.split(maxsplit=1) for line in OWNERS.splitlines() if line and not line.startswith("#"))


def test_each_path_of_an_owner_exists():
    assert "*" in owned()
    for path in owned().keys() - {"*"}:
        assert path.startswith("/") and (TOP / path[1:]).exists(), path
        assert (TOP / path[1:]).is_dir() == path.endswith("/"), path


def test_owners_are_teams_of_one_organisation():
    """The placeholder, or its value."""
    teams = set(re.findall(r"@(\S+)", "\n".join(owned().values())))
    [organisation] = {team.partition("/")[0] for team in teams}
    assert re.fullmatch(r"REPLACE_WITH_ORG|[A-Za-z0-9](?:-?[A-Za-z0-9])*", organisation)
    assert teams == {f"{organisation}/{team}" for team in ("developers", "sre", "security")}


@pytest.mark.parametrize("path", ["/.github/", "/scripts/release/", "/renovate.json", "/rust-toolchain.toml", "/tests/service/integration/", "/Dockerfile"])
def test_sre_owns_what_a_release_consists_of(path):
    assert "/sre" in owned()[path]


def test_the_compiler_and_its_image_are_updated_together():
    [rule] = [rule for rule in RENOVATE["packageRules"] if rule.get("groupName") == "Rust"]
    assert set(rule["matchPackageNames"]) == {"rust", "rust-lang/rust"}
    # What Renovate calls them: the image of the Dockerfile, and the name of the custom manager.
    assert re.search(r"^ARG RUST_IMAGE=rust:", (TOP / "Dockerfile").read_text(), re.M)
    assert ("rust-lang/rust", tomllib.loads((TOP / "rust-toolchain.toml").read_text())["toolchain"]["channel"]) in found("rust-toolchain.toml")


def test_the_tests_of_a_release_install_what_was_reviewed():
    """They run beside a client's secret: every package by its hash."""
    text = (TOP / "tests/service/integration/requirements.txt").read_text()
    packages = re.findall(r"^([\w.-]+)==\S+ \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", text, re.M)
    assert {name for name, _ in packages} == set(re.findall(r"^([\w.-]+)==", text, re.M)) and len(packages) > 5


@pytest.mark.parametrize("folder", [".github", "gitops", "terraform", "scripts", "scripts/release"])
def test_sre_owns_what_reaches_clusters_and_aws(folder):
    assert "/sre" in owned()[f"/{folder}/"]


def test_areas_name_existing_suites_and_files():
    areas = tomllib.loads((TOP / ".github/areas.toml").read_text())
    suites = set(tomllib.loads((TOP / "tests/suites.toml").read_text()))
    assert set(areas["always"]) <= suites
    names = listed(TOP)
    for area in areas["area"]:
        assert set(area["suites"]) <= suites, set(area["suites"]) - suites
        for pattern in area["files"]:
            assert any(fnmatch.fnmatchcase(name, pattern) for name in names), pattern


# These create files of such names, and read none.
SAMPLES = {"test_describe.py"}


def read_by(suite):
    """Returns the command of a suite and the text of its tests."""
    # Not those of PYTHONPATH, of which it uses some modules.
    folders = [TOP / name for name in re.findall(r"(?<![\w/:-])tests/[\w/.-]+", suite["run"])]
    files = [file for folder in folders for file in ([folder] if folder.is_file() else folder.rglob("*.py")) if file.name not in SAMPLES]
    # Of the tests of pages, those with a mark.
    marked = "-m helm" in suite["run"]
    return suite["run"] + "".join(file.read_text() for file in files if not (marked and "repository/docs" in str(file)))


def before(pattern):
    """Returns the expression for what comes before the beginning of a path. Many folders have a README.md."""
    return '(?:TOP|ROOT) / "' if pattern == "README.md" else r"(?<![\w/-])"


def test_an_area_has_each_suite_whose_tests_name_its_files():
    areas = tomllib.loads((TOP / ".github/areas.toml").read_text())
    suites = tomllib.loads((TOP / "tests/suites.toml").read_text())
    # The suite `tools` names samples, too.
    texts = {name: read_by(suite) for name, suite in suites.items() if name not in {*areas["always"], "tools"}}
    missing = {
        f"{name}: {pattern}"
        for area in areas["area"]
        for name in texts.keys() - set(area["suites"])
        for pattern in area["files"]
        if re.search(before(pattern) + re.escape(pattern.removesuffix("*")), texts[name])
    }
    assert missing == set()


@pytest.mark.parametrize("name", ["src/main.rs", "Cargo.lock", "helm/shoutback/values.yaml", "gitops/README.md", "scripts/test", "tests/suites.toml", "Dockerfile", "docs/configuration.md", "new"])
def test_what_suites_read_concerns_every_suite(name):
    areas = tomllib.loads((TOP / ".github/areas.toml").read_text())["area"]
    assert not [area for area in areas if any(fnmatch.fnmatchcase(name, pattern) for pattern in area["files"])]


def patterns(manager):
    return [re.compile(pattern.strip("/")) for pattern in manager["managerFilePatterns"]]


def found(name):
    """Returns the names and versions that our custom patterns for Renovate find in a file."""
    text = (TOP / name).read_text()
    for manager in RENOVATE["customManagers"]:
        if any(pattern.search(name) for pattern in patterns(manager)):
            for expression in manager["matchStrings"]:
                for match in re.finditer(expression.replace("(?<", "(?P<"), text):
                    yield match.groupdict().get("depName") or manager["depNameTemplate"], match["currentValue"]


def test_each_third_party_chart_is_updated():
    name = "gitops/platform/values.yaml"
    versions = re.findall(r"version: (v?\d[^,\s]*)", (TOP / name).read_text())
    assert len(versions) >= 9
    assert sorted(version for _, version in found(name)) == sorted(versions)


def test_each_version_of_our_charts_is_updated():
    """The version of Elasticsearch is in Chart.yaml; others are tags of images, which Renovate's manager of values finds."""
    [(_, version)] = found("gitops/platform/logging/Chart.yaml")
    assert f"appVersion: {version}\n" in (TOP / "gitops/platform/logging/Chart.yaml").read_text()
    values = [re.compile(pattern.strip("/")) for pattern in RENOVATE["helm-values"]["managerFilePatterns"]]
    for name in ("filebeat", "otel-collector", "probe", "logging"):
        path = f"gitops/platform/{name}/values.yaml"
        assert any(pattern.search(path) for pattern in values)
        assert re.search(r"^ *image:\n(?: *#.*\n)* *repository: \S+\n *tag: v?\d", (TOP / path).read_text(), re.M), path


def test_a_chart_is_updated_everywhere_at_once():
    """Two applications of one chart have one name for Renovate; a chart and its module, of equal versions, are in one group."""
    applications = yaml.safe_load((TOP / "gitops/platform/values.yaml").read_text())["applications"]
    charts = {one.get("chart", name): one["version"] for name, one in applications.items() if "version" in one}
    assert dict(found("gitops/platform/values.yaml")) == charts
    groups = [set(rule["matchPackageNames"]) for rule in RENOVATE["packageRules"] if "groupName" in rule and "matchPackageNames" in rule]
    for chart, module in TOOLS["charts"]["modules"].items():
        assert any({chart, module.partition("@")[0]} <= group for group in groups), chart


TOOLS = tomllib.loads((TOP / "scripts/tools.toml").read_text())


@pytest.mark.parametrize("name", [name for name, tool in TOOLS.items() if {"go", "cargo", "npm"} & tool.keys()])
def test_each_tool_is_updated(name):
    assert TOOLS[name]["version"] in [version for _, version in found("scripts/tools.toml")], name


def test_each_go_module_is_updated():
    text = (TOP / "scripts/tools.toml").read_text()
    written = re.findall(r"@(v[\d.]+) ", text)
    assert len(written) > 10
    assert set(written) <= {version for _, version in found("scripts/tools.toml")}


@pytest.mark.parametrize("name", ["observability/otel-collector/builder.yaml", "rust-toolchain.toml"])
def test_each_version_in_these_files_is_updated(name):
    text = (TOP / name).read_text()
    written = re.findall(r"(?<=[@ ])v\d+\.\d+\.\d+\b", text) if name != "rust-toolchain.toml" else re.findall(r"\d+\.\d+\.\d+", text)
    assert sorted(version for _, version in found(name)) == sorted(written) and written


def test_each_lock_file_has_a_manager():
    managers = set(RENOVATE["enabledManagers"])
    managers_by_pattern = {
        "Cargo.lock": "cargo",
        "package-lock.json": "npm",
        "requirements.txt": "pip_requirements",
        "Dockerfile": "dockerfile",
        "go.sum": "gomod",
        "versions.tf": "terraform",
        ".github/workflows/*.yml": "github-actions",
    }
    assert set(managers_by_pattern.values()) <= managers
    locks = [name for name in listed(TOP) if re.search(r"(\.lock|-lock\.\w+|\.sum|requirements[\w-]*\.(txt|in)|Pipfile|poetry\.toml)$", name)]
    assert len(locks) > 10
    for name in locks:
        assert any(fnmatch.fnmatch(name.rpartition("/")[2], pattern) for pattern in managers_by_pattern), f"no manager updates the versions in {name}"
