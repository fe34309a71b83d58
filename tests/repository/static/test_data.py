"""Syntax of YAML, JSON, TOML and HCL files, and spelling in the documentation."""

import json
import tomllib

import hcl2
import lark
import pytest
from files import HERE, TOP, ending, files, run


def plain_yaml():
    """Returns the names of all YAML files except Helm templates, which are YAML only once rendered."""
    return [name for name in ending(".yaml", ".yml") if "/templates/" not in name]


def yamllint(*names):
    return run("yamllint", "--strict", "--format=parsable", f"--config-file={HERE / 'yamllint.yaml'}", *names)


def test_yamllint_finds_nothing():
    assert len(plain_yaml()) > 50
    assert yamllint(*plain_yaml()) == ""


@pytest.mark.parametrize(
    ("text", "finding"),
    [("a: 1\na: 2\n", "key-duplicates"), ("a: [1\n", "syntax"), ("a: yes\n", "truthy"), ("a:\n    b: 1\n  c: 2\n", "syntax"), ("a: 1 \n", "trailing-spaces")],
)
def test_yamllint_finds_faults(text, finding, tmp_path):
    (tmp_path / "file.yaml").write_text(text)
    assert finding in yamllint(tmp_path / "file.yaml")


def unique(pairs):
    """Builds a JSON object, and rejects duplicate members, which parsers resolve differently."""
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise ValueError(f"duplicate members: {sorted({name for name in names if names.count(name) > 1})}")
    return dict(pairs)


def read_json(text):
    json.loads(text, object_pairs_hook=unique)


def read_lines(text):
    for line in text.splitlines():
        read_json(line)


PARSERS = {".json": read_json, ".ndjson": read_lines, ".toml": tomllib.loads, "Cargo.lock": tomllib.loads, ".tf": hcl2.loads, ".hcl": hcl2.loads, ".tfvars": hcl2.loads}
PARSED = [(name, suffix) for suffix in PARSERS for name in ending(suffix)]


@pytest.mark.parametrize(("name", "suffix"), PARSED, ids=[name for name, _ in PARSED])
def test_it_can_be_parsed(name, suffix):
    PARSERS[suffix]((TOP / name).read_text())


@pytest.mark.parametrize(
    ("suffix", "text"),
    [
        (".json", '{"a": 1,}'),
        (".json", '{"a": {"b": 1, "b": 2}}'),
        (".ndjson", '{"a": 1}\n{"a": 1'),
        (".toml", "a = 1\na = 2\n"),
        ("Cargo.lock", "[[package]\n"),
        (".tf", 'resource "a" "b" {\n'),
        (".hcl", "a = [1\n"),
        (".tfvars", "a =\n"),
    ],
)
def test_syntax_errors_are_found(suffix, text):
    # The errors of json and tomllib are ValueErrors.
    with pytest.raises((ValueError, lark.exceptions.LarkError)):
        PARSERS[suffix](text)


def test_each_format_has_files():
    assert {suffix for _, suffix in PARSED} == PARSERS.keys()


def codespell(*names):
    return run("codespell", "--config=/dev/null", "--toml=/dev/null", *names)


def test_codespell_finds_nothing_in_pages():
    assert codespell(*ending(".md")) == ""


def test_codespell_finds_nothing_in_the_pipeline():
    names = [name for name in files() if name.startswith((".github/", "scripts/", "tests/platform/pipeline/", "tests/platform/workflows/"))]
    assert names and codespell(*names) == ""


def test_codespell_finds_faults(tmp_path):
    (tmp_path / "page.md").write_text("It recieves a shout.\n")
    assert "recieves" in codespell(tmp_path / "page.md")
