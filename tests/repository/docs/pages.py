"""The pages, their headings, links and commands."""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from harness.git import listed

TOP = Path(__file__).resolve().parents[3]

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)


def pages():
    """Every page by its path, new ones that git has not seen included."""
    return {name: (TOP / name).read_text() for name in listed(TOP, "*.md")}


def suites():
    """Returns the suites by name."""
    return tomllib.loads((TOP / "tests/suites.toml").read_text())


def anchors(text):
    """What a heading or an `id` can be led to by, as GitHub makes it."""
    seen, found = {}, set(re.findall(r'<a (?:name|id)="([^"]+)"', text))
    for heading in re.findall(r"^#+ +(.*?) *#*$", FENCE.sub("", text), re.M):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
        anchor = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        number = seen[anchor] = seen.get(anchor, -1) + 1
        found.add(f"{anchor}-{number}" if number else anchor)
    return found


def links(text):
    """Targets of links and pictures, but for those in code."""
    prose = re.sub(r"`[^`\n]*`", "", FENCE.sub("", text))
    return re.findall(r"\]\(([^)\s]+)\)", prose) + re.findall(r"^\[[^\]]+\]: +(\S+)", prose, re.M)


@dataclass(frozen=True)
class Command:
    page: str
    text: str


def commands():
    """Each command of a block that is one of a shell, without its comment, in one line where it goes on by backslashes."""
    for name, text in pages().items():
        for language, block in FENCE.findall(text):
            if language == "console":
                for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
                    lines = part.splitlines()
                    kept = lines[:1]
                    for line in lines[1:]:
                        if kept[-1].endswith("\\") or line.startswith("> ") or "<<" in kept[0]:
                            kept.append(line.removeprefix("> "))
                        else:
                            break
                    yield Command(name, tidy(kept))
            elif language in ("sh", "bash", "shell"):
                yield Command(name, tidy(block.splitlines()))


def tidy(lines):
    text = re.sub(r" *\\\n *", " ", "\n".join(lines)).strip()
    return re.sub(r" +# .*$", "", text) if "\n" not in text else text
