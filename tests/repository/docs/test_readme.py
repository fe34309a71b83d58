"""README.md and docs/README.md cover the other documents."""

import re

from pages import FENCE, TOP, links, pages

PAGES = pages()

# A heading, or a sentence, that states what no test has run.
UNTESTED = re.compile(r"^#+ .*\b(?:[Cc]hecked|[Tt]ested|tests)\b|\bNot (?:checked|tested|run)\b|\b(?:not been|never) run\b", re.M)


def states_limits(name):
    """Returns whether a document states which parts of the product its tests do not run."""
    return not name.startswith("tests/") and name not in ("README.md", "CHANGELOG.md") and UNTESTED.search(FENCE.sub("", PAGES[name])) is not None


def targets(name, text):
    """Returns the Markdown files to which a text in the document `name` links."""
    paths = [((TOP / name).parent / link.partition("#")[0]).resolve() for link in links(text) if "://" not in link]
    return {str((path / "README.md" if path.is_dir() else path).relative_to(TOP)) for path in paths} & PAGES.keys()


def section(name, title):
    return PAGES[name].partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_the_status_table_links_to_each_document_that_states_what_is_not_tested():
    found = {name for name in PAGES if states_limits(name)}
    assert {"terraform/README.md", "observability/grafana/README.md", "docs/deploy.md", "docs/release.md"} <= found
    assert targets("README.md", section("README.md", "Status")) == found


def test_each_row_of_the_status_table_names_what_is_run_and_what_is_not():
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in section("README.md", "Status").splitlines() if row.startswith("| ")]
    assert rows[0] == ["part", "run for real", "against a stand-in", "never run", "details"] and len(rows) > 10
    for part, real, stand_in, never, _ in rows[1:]:
        assert real and never, part


def test_the_index_links_to_each_document_in_docs():
    """The runbooks have an index of their own, to which it links."""
    indexes = ["docs/README.md", "docs/runbooks/README.md"]
    indexed = set().union(*(targets(name, PAGES[name]) for name in indexes))
    assert indexes[1] in targets(indexes[0], PAGES[indexes[0]])
    assert {name for name in PAGES if name.startswith("docs/")} - {"docs/README.md"} - indexed == set()


def test_the_architecture_is_the_same_in_light_and_dark():
    light, dark = ((TOP / f"docs/images/architecture-{theme}.svg").read_text() for theme in ("light", "dark"))
    style = re.compile(r"<style>.*?</style>", re.S)
    assert style.sub("", light) == style.sub("", dark)
    assert style.search(light)[0] != style.search(dark)[0]
