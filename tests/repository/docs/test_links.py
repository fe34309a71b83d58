"""Links between documents, and into the source, have existing targets."""

import pytest
from pages import TOP, anchors, links, pages

PAGES = pages()


@pytest.mark.parametrize("name", PAGES)
def test_links_have_existing_targets(name):
    for link in links(PAGES[name]):
        if link.startswith(("https://", "http://", "mailto:")):
            continue
        path, _, anchor = link.partition("#")
        target = (TOP / name).parent / path if path else TOP / name
        assert target.exists(), f"{name}: {link}"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target.read_text()), f"{name}: {link}"


def test_each_document_is_reachable_from_the_readme():
    found, new = set(), {"README.md"}
    while new:
        found |= new
        reached = set()
        for name in new:
            for link in links(PAGES.get(name, "")):
                target = ((TOP / name).parent / link.partition("#")[0]).resolve()
                if "://" in link or not target.is_relative_to(TOP):
                    continue
                target = target / "README.md" if target.is_dir() else target
                reached.add(str(target.relative_to(TOP)))
        new = (reached & PAGES.keys()) - found
    # GitHub shows it where it is needed.
    assert PAGES.keys() - found == {".github/pull_request_template.md"}


def test_a_dangling_link_is_found():
    text = "# A\n\n## B c\n\n[x](gone.md) [y](#b-c) `[z](code.md)`\n```sh\n[w](block.md)\n```\n"
    assert links(text) == ["gone.md", "#b-c"]
    assert anchors(text) == {"a", "b-c"}
