"""Fixtures: the results of `terraform test` for each folder, and for folders with faults. The runs start as soon as tests are collected."""

import tempfile
from pathlib import Path

import pytest
from faults import FAULTS, failures
from folders import FOLDERS, Copy, Results

from harness.terraform import VERSION, BuildError

COPY = pytest.StashKey()
RESULTS = pytest.StashKey()
DIRECTORY = pytest.StashKey()


def pytest_collection_finish(session):
    folders = list(dict.fromkeys(folder for item in session.items for folder in _folders(item)))
    faulty = list(dict.fromkeys(item.callspec.params["fault"].folder for item in session.items if "fault" in item.fixturenames))
    if session.config.option.collectonly or not (folders or faulty):
        return
    directory = session.config.stash[DIRECTORY] = tempfile.TemporaryDirectory(prefix="shoutback-terraform-")
    copy = session.config.stash[COPY] = Copy(Path(directory.name) / "whole")
    try:
        tried = copy.init("modules/kms")
    except BuildError as error:
        pytest.exit(f"error: Terraform was not tested, because its provider is missing. {error}.", returncode=1)
    if tried.returncode:
        pytest.exit(
            f"error: Terraform was not tested, because its provider is missing.\n{tried.stdout}{tried.stderr}\n"
            f"If terraform/ pins another version than {VERSION}, record its schema: tests/platform/terraform/provider/README.md.",
            returncode=1,
        )
    results = session.config.stash[RESULTS] = Results()
    for folder in folders:
        results.start(folder, copy.test, folder)
    for folder in faulty:
        results.start(f"{folder} with faults", failures, folder, Path(directory.name) / folder.replace("/", "-"))


def _folders(item):
    if hasattr(item, "callspec") and "folder" in item.callspec.params:
        yield item.callspec.params["folder"]
    elif "tested" in item.fixturenames:
        yield item.module.FOLDER
    if "everything" in item.fixturenames:
        yield from FOLDERS


def pytest_unconfigure(config):
    if RESULTS in config.stash:
        config.stash[RESULTS].close()
    if DIRECTORY in config.stash:
        config.stash[DIRECTORY].cleanup()


def pytest_generate_tests(metafunc):
    if "fault" in metafunc.fixturenames:
        metafunc.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.folder}: {fault.what}")


@pytest.fixture
def copy(request):
    return request.config.stash[COPY]


@pytest.fixture
def tested(request):
    """Returns the runs of a test's folder: its parameter `folder`, or FOLDER of its module."""
    return request.config.stash[RESULTS][next(_folders(request.node))]


@pytest.fixture
def everything(request):
    """Returns the runs of every folder."""
    return {folder: request.config.stash[RESULTS][folder] for folder in FOLDERS}


@pytest.fixture
def failed(request, fault):
    """Returns the failed tests, with their messages, of the folder with all its faults."""
    return request.config.stash[RESULTS][f"{fault.folder} with faults"]
