"""The rules in Vale, which defines their format: Vale finds the same words on the same lines."""

import json
import shutil
import subprocess

import prose
import pytest
import test_prose

from harness.process import ENVIRONMENT

pytestmark = pytest.mark.vale


def vale(*arguments):
    """Returns what Vale finds: names, lines and rules."""
    command = [shutil.which("vale"), "--no-global", f"--config={prose.TOP / '.vale.ini'}", "--output=JSON", *map(str, arguments)]
    done = subprocess.run(command, env=ENVIRONMENT, cwd=prose.TOP, capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr
    found = json.loads(done.stdout)
    return {(name, alert["Line"], alert["Check"].removeprefix("Shoutback.")) for name, alerts in found.items() for alert in alerts}


def written(directory, texts):
    for name, text in texts.items():
        path = directory / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        # Vale treats a text as one paragraph, despite blank lines.
        path.write_text("\n".join(line if line.strip() else "|" for line in text.split("\n")))


def test_it_finds_the_same_in_every_text(tmp_path):
    texts = dict(prose.texts())
    written(tmp_path, texts)
    expected = {(finding.name, finding.line, finding.rule) for name, text in texts.items() for finding in prose.check(name, text, test_prose.RULES.values())}
    found = {(name.removeprefix(f"{tmp_path}/").removesuffix(".txt"), line, rule) for name, line, rule in vale(tmp_path)}
    assert found == expected


def test_it_finds_each_example_and_leaves_ordinary_english(tmp_path):
    written(tmp_path, {f"{name}-{kind}": "\n\n".join(sentences) for name, both in test_prose.EXAMPLES.items() for kind, sentences in zip(("faults", "friends"), both, strict=True)})
    found = vale(tmp_path)
    for name, (faults, _) in test_prose.EXAMPLES.items():
        lines = {line for path, line, rule in found if path == f"{tmp_path}/{name}-faults.txt" and rule == name}
        assert lines == {2 * number + 1 for number in range(len(faults))}, name
        assert not [line for path, line, rule in found if path == f"{tmp_path}/{name}-friends.txt" and rule == name], name


def test_pages_can_be_checked_as_they_are(tmp_path):
    """As an editor does, through Vale's own parser of Markdown."""
    (tmp_path / "page.md").write_text("# Calls under way\n\nThe call is under\nway, and `under way`.\n\n```sh\nunder way\n```\n")
    assert {(line, rule) for _, line, rule in vale(tmp_path)} == {(1, "InFlight"), (3, "InFlight")}
    listed, _ = prose.waiting()
    assert vale(*(name for name, _ in prose.texts() if name.endswith(".md") and name not in listed)) == set()
