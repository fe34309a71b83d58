"""A checkout that an adopter has filled in, and what the preparations of tests make of it."""

import json
import re
import subprocess

import source
from harness.placeholders import ENVIRONMENTS
from harness.process import ENVIRONMENT


def files(checkout):
    return {str(file.relative_to(checkout)): file.read_text() for file in sorted((checkout / "gitops").rglob("*")) if file.is_file()}


def fill_in(checkout):
    """Fills in both environments as docs/deploy.md says."""
    for environment in ENVIRONMENTS:
        names = {name for file in checkout.glob(f"gitops/*/{environment}/*.yaml") for name in re.findall("REPLACE_WITH_[A-Z_]*[A-Z]", file.read_text())}
        assert len(names) > 10
        values = {name: f"{name.removeprefix('REPLACE_WITH_').lower().replace('_', '-')}.{environment}.acme.example" for name in names}
        subprocess.run([checkout / "scripts/fill-values", environment], env=ENVIRONMENT, input=json.dumps(values), check=True, capture_output=True, text=True)


def check(directory, monkeypatch, prepare):
    """Asserts that a preparation makes the same files of an adopter's checkout and of one with the placeholders.

    `prepare(directory)` makes a Source there and returns it.
    """
    prepared = []
    for name in ("shipped", "adopted"):
        for part in ("checkout", "prepared"):
            (directory / name / part).mkdir(parents=True)
        checkout = source.Source(directory / name / "checkout", only=("gitops", "observability", "scripts/fill-values")).work
        if name == "adopted":
            fill_in(checkout)
        with monkeypatch.context() as patch:
            patch.setattr(source, "ROOT", checkout)
            made = prepare(directory / name / "prepared")
        # The address of a repository has its directory.
        prepared.append({file: text.replace(str(directory / name), "") for file, text in files(made.work).items()})
    shipped, adopted = prepared
    different = sorted(file for file in shipped.keys() | adopted.keys() if shipped.get(file) != adopted.get(file))
    assert not different, different
