"""The graph of imports between the Rust files of a crate, as `use` declarations and paths tell it. Test modules are left out."""

import graphlib
import re

COMMENT = re.compile(r"//[^\n]*")
TESTS = re.compile(r"^#\[cfg\(test\)\]\s*\nmod \w+ \{", re.M)
USE = re.compile(r"^[ \t]*(?:pub(?:\([^)]*\))?\s+)?use\s+([^;]+);", re.M)
PATH = re.compile(r"\b(?:crate|super|self)(?:::\w+)+")


def modules(src):
    """Each module's path, such as ("http", "server"), with its file; the crate root is ()."""
    found = {}
    for path in sorted(src.rglob("*.rs")):
        parts = path.relative_to(src).with_suffix("").parts
        if parts != ("main",) and not {"tests", "examples"} & set(parts):
            found[() if parts == ("lib",) else parts] = path
    return found


def code(text):
    """The text of a file without comments and without its test module, which comes last."""
    return COMMENT.sub("", TESTS.split(text)[0])


def names(text):
    """Every path that the code imports or writes out."""
    imported = [path for tree in USE.findall(text) for path in expand(tree)]
    return imported + PATH.findall(USE.sub("", text))


def expand(tree):
    """The paths of a use tree: `a::{b, c::d}` gives `a::b` and `a::c::d`."""
    prefix, brace, inner = tree.strip().partition("{")
    if not brace:
        return [prefix.split(" as ")[0].strip()]
    depth, start, parts = 0, 0, []
    inner = inner[: inner.rindex("}")]
    for position, character in enumerate(inner):
        depth += (character == "{") - (character == "}")
        if character == "," and depth == 0:
            parts.append(inner[start:position])
            start = position + 1
    parts.append(inner[start:])
    return [prefix + path for part in parts if part.strip() for path in expand(part)]


def imports(src):
    """Which file imports which. A module's use of its own parents' items is not an import of another file's."""
    files = modules(src)
    graph = {}
    for module, path in files.items():
        graph[module] = set()
        for name in names(code(path.read_text())):
            target = resolve(name.split("::"), module, files)
            if target is not None and target != module[: len(target)]:
                graph[module].add(target)
    return graph


def resolve(parts, module, files):
    """The module of the crate that a path leads to, or none if it leads out of the crate."""
    if parts[0] == "crate":
        target = tuple(parts[1:])
    elif parts[0] in ("self", "super"):
        base = module
        while parts and parts[0] in ("self", "super"):
            base = base[:-1] if parts[0] == "super" else base
            parts = parts[1:]
        target = (*base, *parts)
    else:
        target = (*module, *parts)
        if target[: len(module) + 1] not in files:
            return None
    while target not in files:
        target = target[:-1]
    return target


def cycle(graph):
    """A cycle of imports, if there is one."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return ["::".join(module) for module in error.args[1]]
    return []
