"""Documentation is short enough to be read. A word contains a letter, so that figures of tables do not count."""

import re

import pytest
from pages import pages

PAGE, TOTAL = 2_500, 32_000
PAGES = pages()


def words(text):
    return sum(1 for word in text.split() if re.search(r"[^\W\d_]", word))


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_not_too_long(name):
    count = words(PAGES[name])
    assert count <= PAGE, f"{name} has {count} words, {count - PAGE} too many: move or remove what no decision depends on"


def test_all_pages_together_are_not_too_long():
    counts = sorted(((words(text), name) for name, text in PAGES.items()), reverse=True)
    total = sum(count for count, _ in counts)
    longest = ", ".join(f"{name} {count}" for count, name in counts[:8])
    assert total <= TOTAL, f"{total} words, {total - TOTAL} too many; the longest pages: {longest}"


def test_figures_and_separators_are_no_words():
    assert words("| a | --: | 12.5 | µs |\n```sh\nmake dev 2>&1\n```") == 5
