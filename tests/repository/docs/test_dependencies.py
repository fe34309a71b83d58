"""docs/dependencies.md has a row for each direct dependency and for no other."""

import json
import re
import tomllib

from pages import TOP, pages

from harness.git import listed


def read(name):
    return tomllib.loads((TOP / name).read_text())


def crates():
    """Returns the direct dependencies in every Cargo.toml, except those on the project's own crates."""
    found = set()
    for name in listed(TOP, "*Cargo.toml"):
        manifest = read(name)
        for kind in ("dependencies", "dev-dependencies", "build-dependencies"):
            found |= {crate for crate, wanted in manifest.get(kind, {}).items() if not (isinstance(wanted, dict) and "path" in wanted)}
    return found


def python_packages():
    """Returns what the requirements files list before their dependencies."""
    texts = [re.split(r"^# What .*\bneeds?\b.*$", (TOP / name).read_text(), flags=re.M)[0] for name in listed(TOP, "*requirements.txt")]
    return set(re.findall(r"^([\w.-]+)(?:\[\w+\])?==", "\n".join(texts), re.M))


def npm_packages():
    return {package for name in listed(TOP, "*package.json") for package in json.loads((TOP / name).read_text()).get("dependencies", {})}


def go_modules():
    """Returns the projects of the modules that go.mod files require."""
    texts = [(TOP / name).read_text() for name in listed(TOP, "*go.mod")]
    return {path.split("/")[-1] for text in texts for path in re.findall(r"^(?:require )?\t?(github\.com/\S+) v\S+$", text, re.M)}


def test_each_dependency_has_a_row():
    rows = re.findall(r"^\| (.+?) \| .+ \|$", pages()["docs/dependencies.md"].partition("\n### OpenTelemetry\n")[0], re.M)
    rows += re.findall(r"^\| (.+?) \| .+ \|$", pages()["docs/dependencies.md"].partition("\n## Tests of the service\n")[2], re.M)
    documented = [name for row in rows for name in row.split(", ") if row not in ("crate", "dependency")]
    declared = crates() | python_packages() | npm_packages() | go_modules() | read("scripts/tools.toml").keys()
    assert len(declared) > 120
    assert sorted(declared - set(documented)) == [], "dependencies without a row"
    assert sorted(set(documented) - declared) == [], "rows without a dependency"
