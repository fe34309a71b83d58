"""Fixtures: a repository with two releases of the service, the first in production, the second in staging, and one of the platform."""

from dataclasses import dataclass

import pytest

from argocd import Installation, fill
from source import ROOT, Source

ENVIRONMENTS = ("staging", "production")


@dataclass
class Build:
    tag: str
    digest: str


@dataclass
class Released:
    """The repository and its branches of deployments."""

    source: Source
    builds: dict
    # The commit of the platform.
    platform: str
    installations: dict
    applications: dict
    # The values files of that release.
    read: set

    @property
    def all(self):
        return [application for applications in self.applications.values() for application in applications.values()]


@pytest.fixture(scope="session")
def released(tmp_path_factory):
    source = Source(tmp_path_factory.mktemp("source"), only=("gitops", "helm", "observability", "docs/configuration.md", "scripts/release"))
    fill(source.work)
    source.commit("Fill in the placeholders")
    builds, platform = {}, source.merge("Change an add-on")
    for environment in ENVIRONMENTS:
        source.run(platform).prints("deploy", "--platform", environment, platform)
    for number, environments in enumerate((ENVIRONMENTS, ("staging",)), 1):
        commit = source.merge(f"Release {number}")
        for environment in environments:
            builds[environment] = Build(commit, f"sha256:{number:064x}")
            source.run(commit).prints("deploy", environment, commit, builds[environment].digest)
    # Unreleased: must not occur in any rendering.
    source.merge("Break everything", {"gitops/platform/values.yaml": lambda text: "unreleased: true\n"})
    installations = {environment: Installation(source, environment) for environment in ENVIRONMENTS}
    applications = {environment: found.applications() for environment, found in installations.items()}
    read = set().union(*(installation.read for installation in installations.values()))
    return Released(source, builds, platform, installations, applications, read)


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
