"""Fixtures: what `terraform test` made of each folder. Terraform starts on those that are wanted as soon as tests are collected."""

import tempfile
from pathlib import Path

import pytest
from folders import FOLDERS, Copy, Results

RESULTS = pytest.StashKey()
DIRECTORY = pytest.StashKey()


def pytest_collection_finish(session):
    wanted = list(dict.fromkeys(folder for item in session.items for folder in _folders(item)))
    if not wanted or session.config.option.collectonly:
        return
    directory = session.config.stash[DIRECTORY] = tempfile.TemporaryDirectory(prefix="shoutback-terraform-")
    copy = Copy(Path(directory.name))
    tried = copy.init("modules/kms")
    if tried.returncode:
        pytest.exit(f"TERRAFORM WAS NOT TESTED: its provider cannot be had.\n{tried.stdout}{tried.stderr}", returncode=1)
    results = session.config.stash[RESULTS] = Results(copy)
    for folder in wanted:
        results.want(folder)


def _folders(item):
    if hasattr(item, "callspec") and "folder" in item.callspec.params:
        yield item.callspec.params["folder"]
    elif "tested" in item.fixturenames:
        yield item.module.FOLDER
    elif "everything" in item.fixturenames:
        yield from FOLDERS


def pytest_unconfigure(config):
    if RESULTS in config.stash:
        config.stash[RESULTS].close()
    if DIRECTORY in config.stash:
        config.stash[DIRECTORY].cleanup()


@pytest.fixture
def tested(request):
    """The runs of the folder that a test is about: its parameter `folder`, or its file's FOLDER."""
    return request.config.stash[RESULTS][next(_folders(request.node))]


@pytest.fixture
def everything(request):
    """The runs of every folder."""
    return {folder: request.config.stash[RESULTS][folder] for folder in FOLDERS}
