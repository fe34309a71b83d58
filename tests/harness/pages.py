"""The commands of documentation, and what they print."""

import re
from dataclasses import dataclass


@dataclass
class Command:
    text: str
    prints: list


def blocks(page):
    """Yields each block of commands with the line above it."""
    for mark, body in re.findall(r"([^\n]*)\n\n```console\n(.*?)^```$", page, re.DOTALL | re.MULTILINE):
        commands = []
        for line in body.splitlines():
            if line.startswith("$ "):
                commands.append(Command(line[2:], []))
            elif line.startswith("> "):
                commands[-1].text += "\n" + line[2:]
            else:
                commands[-1].prints.append(line)
        yield mark, commands


def matches(printed, documented):
    """Returns whether the printed lines are the documented ones, where … stands for any number of lines."""
    pattern = "".join(r"(.*\n)*" if line == "…" else re.escape(line) + r"\n" for line in plain("\n".join(documented)))
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in printed))


def plain(text):
    """Returns the lines without colours and without trailing empty lines."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text).strip("\n").splitlines()
