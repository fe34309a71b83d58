"""Fixtures: a repository with two releases, the first in production, the second in staging."""

from dataclasses import dataclass

import pytest

from argocd import Installation
from source import ROOT, Source

ENVIRONMENTS = ("staging", "production")


@dataclass
class Build:
    tag: str
    digest: str


@dataclass
class Released:
    """The repository and its branch `deploy`."""

    source: Source
    builds: dict
    installations: dict
    applications: dict
    # The values files of that release.
    read: set

    @property
    def all(self):
        return [application for applications in self.applications.values() for application in applications.values()]


@pytest.fixture(scope="session")
def released(tmp_path_factory):
    source = Source(tmp_path_factory.mktemp("source"), only=("gitops", "helm", "observability", "scripts/release"))
    builds = {}
    for number, environments in enumerate((ENVIRONMENTS, ("staging",)), 1):
        commit = source.merge(f"Release {number}")
        for environment in environments:
            builds[environment] = Build(commit, f"sha256:{number:064x}")
            source.run(commit).prints("deploy", environment, commit, builds[environment].digest)
    # Unreleased: must not occur in any rendering.
    source.merge("Break everything", {"gitops/applications/values.yaml": lambda text: "unreleased: true\n"})
    installations = {environment: Installation(source, environment) for environment in ENVIRONMENTS}
    applications = {environment: found.applications() for environment, found in installations.items()}
    read = set().union(*(installation.read for installation in installations.values()))
    return Released(source, builds, installations, applications, read)


@pytest.fixture(scope="session")
def switched(released):
    """`switched(name)` returns production's applications with that switch of gitops/applications on."""

    def switched(name):
        installation = released.installations["production"]
        installation.parameters = [{"name": f"{name}.enabled", "value": "true"}]
        try:
            return installation.applications()
        finally:
            installation.parameters = []

    return switched


@pytest.fixture(params=ENVIRONMENTS)
def environment(request):
    return request.param


@pytest.fixture
def applications(released, environment):
    return released.applications[environment]


@pytest.fixture(scope="session")
def page():
    """`page(path)` returns a file's text."""
    return lambda path: (ROOT / path).read_text()
