"""The graph of imports between the Rust files of a crate, from `use` declarations and paths. Test modules are excluded."""

import graphlib
import re

COMMENT = re.compile(r"//[^\n]*")
TESTS = re.compile(r"^#\[cfg\(test\)\]\s*\nmod \w+ \{", re.M)
USE = re.compile(r"^[ \t]*(?:pub(?:\([^)]*\))?\s+)?use\s+([^;]+);", re.M)
PATH = re.compile(r"\b(?:crate|super|self)(?:::\w+)+")


def modules(src):
    """Returns the file of each module by the module's path, such as ("http", "server"); the crate root is ()."""
    found = {}
    for path in sorted(src.rglob("*.rs")):
        parts = path.relative_to(src).with_suffix("").parts
        if parts != ("main",) and not {"tests", "examples"} & set(parts):
            found[() if parts == ("lib",) else parts] = path
    return found


def code(text):
    """Returns the text of a file without comments and without its test module, which comes last."""
    return COMMENT.sub("", TESTS.split(text)[0])


def names(text):
    """Returns every path that the code imports or contains."""
    imported = [path for tree in USE.findall(text) for path in expand(tree)]
    return imported + PATH.findall(USE.sub("", text))


def expand(tree):
    """Returns the paths of a use tree: `a::b` and `a::c::d` for `a::{b, c::d}`."""
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
    """Returns the files that each file imports. A module's use of its parents' items does not count."""
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
    """Returns the module that a path names, or None if it is in another crate."""
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
    """Returns a cycle of imports, if there is one."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return ["::".join(module) for module in error.args[1]]
    return []
