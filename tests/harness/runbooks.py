"""The runbooks: a page per alert."""

import re
from pathlib import Path

DIRECTORY = Path(__file__).parents[2] / "docs/runbooks"
INCIDENTS = DIRECTORY.parent / "incidents.md"
INDEX = DIRECTORY / "README.md"

BLOCK = re.compile(r"^ *```promql\n(.*?)^ *```$", re.M | re.S)


def runbooks():
    """Returns the text of each runbook by its alert."""
    return {path.stem: path.read_text() for path in sorted(DIRECTORY.glob("*.md")) if path != INDEX}


def sections(text):
    """Returns the sections of a page by their headings, in order; the introduction has the empty heading."""
    parts = re.split(r"(?m)^## (.*)\n", text)
    return {"": parts[0]} | dict(zip(parts[1::2], parts[2::2], strict=True))


def queries():
    """Yields pairs of file and query in PromQL."""
    for path in [*sorted(DIRECTORY.glob("*.md")), INCIDENTS]:
        for block in BLOCK.findall(path.read_text()):
            yield path, " ".join(block.split())


def commands(program):
    """Yields pairs of file and command, of the commands that begin with `program`."""
    for path in [*sorted(DIRECTORY.glob("*.md")), INCIDENTS]:
        for line in re.findall(r"^ *\$ (.*)$", path.read_text(), re.M):
            if line.startswith(f"{program} "):
                yield path, line
