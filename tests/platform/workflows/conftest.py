import shutil

import pytest


@pytest.fixture(scope="session")
def terraform():
    assert shutil.which("terraform"), "these tests need terraform on PATH"
