"""The documentation: headings, links and commands."""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from harness.git import listed

TOP = Path(__file__).resolve().parents[3]

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)


def pages():
    """Returns every Markdown file by its path, including untracked ones, and no links to them."""
    return {name: (TOP / name).read_text() for name in listed(TOP, "*.md") if not (TOP / name).is_symlink()}


def suites():
    """Returns the suites by name."""
    return tomllib.loads((TOP / "tests/suites.toml").read_text())


def anchors(text):
    """Returns the anchors of headings and `id`s, as GitHub generates them."""
    numbers, found = {}, set(re.findall(r'<a (?:name|id)="([^"]+)"', text))
    for heading in re.findall(r"^#+ +(.*?) *#*$", FENCE.sub("", text), re.M):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
        anchor = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        number = numbers[anchor] = numbers.get(anchor, -1) + 1
        found.add(f"{anchor}-{number}" if number else anchor)
    return found


def links(text):
    """Returns the targets of links and pictures, except in code."""
    prose = re.sub(r"`[^`\n]*`", "", FENCE.sub("", text))
    return re.findall(r"\]\(([^)\s]+)\)", prose) + re.findall(r"^\[[^\]]+\]: +(\S+)", prose, re.M)


@dataclass(frozen=True)
class Command:
    page: str
    text: str


def commands():
    """Yields the commands of shell blocks, without comments, with continuation lines joined, and the `make` targets that begin the rows
    of tables."""
    for name, text in pages().items():
        for cell in re.findall(r"^\| (`make [^|]*)\|", text, re.M):
            yield from (Command(name, command) for command in re.findall(r"`([^`]+)`", cell))
        for language, block in FENCE.findall(text):
            if language == "console":
                for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
                    lines = part.splitlines()
                    command = lines[:1]
                    for line in lines[1:]:
                        if command[-1].endswith("\\") or line.startswith("> ") or "<<" in command[0]:
                            command.append(line.removeprefix("> "))
                        else:
                            break
                    yield Command(name, tidy(command))
            elif language in ("sh", "bash", "shell"):
                yield Command(name, tidy(block.splitlines()))


def tidy(lines):
    text = re.sub(r" *\\\n *", " ", "\n".join(lines)).strip()
    return re.sub(r" +# .*$", "", text) if "\n" not in text else text
