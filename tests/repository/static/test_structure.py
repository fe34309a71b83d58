"""The structure of the source: dependencies between modules have one direction, and files are short."""

import re

import pytest
from files import TOP
from modules import code, cycle, imports, modules, names

CRATES = [TOP / "src", TOP / "emulators" / "src"]

# Lines of a file without comments and tests.
LONGEST = 350

# From top to bottom: a module imports only from modules below it.
LAYERS = [
    ["app"],
    ["http"],
    ["quota", "shout"],
    ["auth", "shoutcloud", "valkey"],
    ["telemetry"],
    ["outbound"],
    ["config", "lifecycle", "json", "version"],
    ["blocking", "sync"],
]


def test_a_cycle_of_imports_is_found(tmp_path):
    for name, text in {
        "lib.rs": "mod a; mod b;",
        "a.rs": "mod c;\nuse crate::b::{self, X};",
        "a/c.rs": "use super::Y; // use crate::b;\n#[cfg(test)]\nmod tests {\n use crate::b;\n}",
        "b.rs": "",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert imports(tmp_path) == {(): set(), ("a",): {("b",)}, ("a", "c"): set(), ("b",): set()}
    assert not cycle(imports(tmp_path))
    (tmp_path / "b.rs").write_text("fn f() { crate::a::c::g() }")
    (tmp_path / "a/c.rs").write_text("use crate::{a::Z, b::{X as W}};")
    assert set(cycle(imports(tmp_path))) == {"b", "a::c"}


@pytest.mark.parametrize("src", CRATES, ids=["service", "emulators"])
def test_there_is_no_cycle_of_imports(src):
    assert not cycle(imports(src))


def test_layers_import_downwards():
    level = {name: number for number, layer in enumerate(LAYERS) for name in layer}
    wrong = [
        f"{'::'.join(module)} imports {'::'.join(target)}"
        for module, targets in imports(TOP / "src").items()
        for target in targets
        if module and target and module[0] != target[0] and level[module[0]] >= level[target[0]]
    ]
    assert not wrong


def test_the_domain_does_not_import_an_http_framework():
    for module, path in modules(TOP / "src").items():
        if module[:1] in [("auth",), ("quota",), ("shout",), ("shoutcloud",)]:
            framework = [name for name in names(code(path.read_text())) if name.split("::")[0] in ("axum", "tower_http")]
            assert not framework, path


def test_only_config_and_main_read_the_environment():
    readers = [
        path.relative_to(TOP / "src").as_posix()
        for path in modules(TOP / "src").values()
        if re.search(r"\benv::(var|vars|var_os|vars_os)\b", code(path.read_text()))
    ]
    assert all(reader.startswith("config") for reader in readers), readers


@pytest.mark.parametrize("src", CRATES, ids=["service", "emulators"])
def test_files_are_short(src):
    lengths = {path: len(code(path.read_text()).splitlines()) for path in modules(src).values()}
    assert lengths
    assert {str(path): length for path, length in lengths.items() if length > LONGEST} == {}
