"""Runs a command with the service of `shoutback dev` and its credentials in the environment."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from harness.shoutback import Emulators

with tempfile.TemporaryDirectory() as directory, Emulators(Path(directory, "log")) as dev:
    variables = {
        "BASE_URL": dev.service,
        "TOKEN_URL": f"{dev.cognito}/oauth2/token",
        "CLIENT_ID": dev.client_id,
        "CLIENT_SECRET": dev.secret,
    }
    code = subprocess.run(sys.argv[1:], env=os.environ | variables).returncode
sys.exit(code)
