"""Lines of documents have at most the width in .editorconfig. Tables, code and lines of one word cannot be wrapped."""

import re

import pytest
from pages import TOP, pages

PAGES = pages()
WIDTH = int(re.search(r"^\[[*]\.md\]\nmax_line_length = (\d+)$", (TOP / ".editorconfig").read_text(), re.M)[1])
# Documents, and a folder of them, that still have longer lines: remove an entry when it is wrapped, add none.
WIDER = tuple(
    """
    docs/performance.md
    """.split()
)


def too_wide(text):
    """Returns the lines of prose that are too wide."""
    return [line for line in re.sub(r"^( *)```.*?^\1```$", "", text, flags=re.M | re.S).splitlines() if len(line) > WIDTH and " " in line.strip() and not line.lstrip().startswith(("|", "<"))]


@pytest.mark.parametrize("name", [name for name in PAGES if not name.startswith(WIDER)])
def test_lines_are_not_too_wide(name):
    assert too_wide(PAGES[name]) == []


def test_wide_lines_are_found():
    wide = "a " * WIDTH
    assert too_wide(f"{wide}\n| {wide} |\n```sh\n{wide}\n```\n   ```sh\n   {wide}\n   ```\n{'a' * 2 * WIDTH}\n") == [wide]
