"""scripts/mutants with a fake cargo-mutants: which tests run on which mutants, what is stored, and its table."""

import importlib.machinery
import importlib.util
import json
import re
import tomllib
from collections import Counter

import pytest
from test_tools import TOP

LOADER = importlib.machinery.SourceFileLoader("mutants", str(TOP / "scripts/mutants"))
mutants = importlib.util.module_from_spec(importlib.util.spec_from_loader("mutants", LOADER))
LOADER.exec_module(mutants)

MODULE = mutants.Module(["src/a.rs"], ["a::"], ["b::"])
NAMES = [f"src/a.rs:{line}:1: replace + with -" for line in range(1, 6)]


class Cargo(mutants.Runner):
    """A fake cargo-mutants with outcomes by target and mutant."""

    def __init__(self, outcomes, tree):
        super().__init__("", tree, tree / "output")
        self.outcomes, self.calls = outcomes, []

    def cargo(self, arguments, variables, **options):
        target = next(argument for argument in arguments if argument.startswith("--cargo-arg=")).partition("=")[2]
        chosen = [name for name in NAMES for argument in arguments if argument.startswith("--re=") and re.fullmatch(argument.partition("=")[2], name)]
        self.calls.append((target, arguments[arguments.index("--") + 2 :], chosen))
        self.optimized = bool(variables)
        found = [{"scenario": "Baseline", "summary": "Success"}]
        found += [{"scenario": {"Mutant": {"name": name}}, "summary": self.outcomes[target][name]} for name in chosen if name in self.outcomes[target]]
        (self.output / "mutants.out").mkdir()
        (self.output / "mutants.out/outcomes.json").write_text(json.dumps({"outcomes": found}))
        if len(found) <= len(chosen):
            raise KeyboardInterrupt
        return type("Done", (), {"returncode": 2})


@pytest.fixture
def tree(tmp_path, monkeypatch):
    monkeypatch.setattr(mutants, "OUTCOMES", tmp_path / "outcomes")
    (tmp_path / "src").mkdir()
    (tmp_path / "src/a.rs").write_text("1 + 1")
    return tmp_path


def test_integration_tests_run_on_what_unit_tests_missed(tree):
    unit = dict(zip(NAMES, ["CaughtMutant", "MissedMutant", "MissedMutant", "Timeout", "Unviable"], strict=True))
    cargo, state = Cargo({"--lib": unit, "--test=it": {NAMES[1]: "CaughtMutant", NAMES[2]: "MissedMutant"}}, tree), mutants.State("a", tree)
    mutants.run(cargo, state, NAMES, MODULE)
    assert cargo.calls == [("--lib", ["a::"], NAMES), ("--test=it", ["b::"], NAMES[1:3])]
    outcomes = {name: state.outcome(name) for name in NAMES}
    assert list(outcomes.values()) == ["caught", "caught", "missed", "timeout", "unviable"]
    assert mutants.row("a", outcomes, 120) == "| `a` | 5 | 2 | 1 | 1 | 1 | 0 | 75.0 % | 2 |"


def test_slow_tests_run_last_on_what_survived(tree):
    slow = MODULE._replace(slow=("a::slow::",))
    cargo = Cargo({"--lib": dict.fromkeys(NAMES, "MissedMutant"), "--test=it": dict.fromkeys(NAMES, "CaughtMutant") | {NAMES[0]: "MissedMutant"}}, tree)
    mutants.run(cargo, mutants.State("a", tree), NAMES, slow)
    assert [(call[0], call[1], call[2]) for call in cargo.calls] == [
        ("--lib", ["a::"], NAMES),
        ("--test=it", ["b::"], NAMES),
        ("--lib", ["a::slow::"], NAMES[:1]),
    ]
    assert cargo.optimized


def test_the_next_run_has_only_survivors_until_the_file_changes(tree):
    outcomes = {"--lib": dict.fromkeys(NAMES, "CaughtMutant") | {NAMES[0]: "MissedMutant"}, "--test=it": {NAMES[0]: "MissedMutant"}}
    mutants.run(Cargo(outcomes, tree), mutants.State("a", tree), NAMES, MODULE)
    (tree / "src/a.rs").write_text("1 + 1\n\n#[cfg(test)]\nmod tests {}\n")
    again = Cargo(outcomes, tree)
    mutants.run(again, mutants.State("a", tree), NAMES, MODULE)
    assert [call[2] for call in again.calls] == [NAMES[:1], NAMES[:1]]
    (tree / "src/a.rs").write_text("1 + 2")
    changed = Cargo(outcomes, tree)
    mutants.run(changed, mutants.State("a", tree), NAMES, MODULE)
    assert changed.calls[0][2] == NAMES


def test_an_interrupted_run_is_continued(tree):
    half = Cargo({"--lib": dict.fromkeys(NAMES[:2], "CaughtMutant")}, tree)
    with pytest.raises(KeyboardInterrupt):
        mutants.run(half, mutants.State("a", tree), NAMES, MODULE)
    rest = Cargo({"--lib": dict.fromkeys(NAMES, "CaughtMutant")}, tree)
    mutants.run(rest, mutants.State("a", tree), NAMES, MODULE)
    assert [call[2] for call in rest.calls] == [NAMES[2:]]


@pytest.mark.parametrize("name", mutants.MODULES)
def test_the_table_names_files_and_tests_that_exist(name):
    module = mutants.MODULES[name]
    for pattern in module.files:
        assert list(TOP.glob(pattern)), pattern
    for folder, filters in (("src", (*module.unit, *module.slow)), ("tests/it", module.integration)):
        for filter in filters:
            file = f"{folder}/{filter.removesuffix('::').replace('::', '/')}.rs"
            assert filter == "--include-ignored" or filter.startswith("--skip=") or (TOP / file).is_file(), filter


LEAST = {"auth": 95, "quota": 95, "shout": 95, "shoutcloud": 95, "http/server": 85}


def stored(name):
    """Returns the stored outcomes of a module by mutant."""
    outcomes = json.loads((mutants.OUTCOMES / f"{name.replace('/', '-')}.json").read_text())
    return {key.partition(" ")[2]: outcome for key, outcome in outcomes.items()}


@pytest.mark.parametrize("name", mutants.MODULES)
def test_the_page_has_the_scores_of_the_stored_outcomes(name):
    count = Counter(stored(name).values())
    detected = count["caught"] + count["timeout"]
    score = 100 * detected / (detected + count["missed"])
    row = f"| `{name}` | {detected + count['missed']} | {detected} | {score:.1f} % |"
    assert row in (TOP / "docs/development.md").read_text().splitlines(), f"the row of docs/development.md is: {row}"
    assert score >= LEAST[name]


def test_each_survivor_is_named_with_its_reason():
    missed = [mutant for name in mutants.MODULES for mutant, outcome in stored(name).items() if outcome == "missed"]
    listed = tomllib.loads((mutants.OUTCOMES / "survivors.toml").read_text())["survivors"]
    assert sorted(mutant for group in listed for mutant in group["mutants"]) == sorted(missed)
    assert all(group["why"] for group in listed)
