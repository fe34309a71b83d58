"""Runs a command that is told, in its environment, of the service that `shoutback dev` runs."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from harness.shoutback import Emulators

with tempfile.TemporaryDirectory() as directory, Emulators(Path(directory, "log")) as dev:
    told = {
        "BASE_URL": dev.service,
        "TOKEN_URL": f"{dev.cognito}/oauth2/token",
        "CLIENT_ID": dev.client_id,
        "CLIENT_SECRET": dev.secret,
    }
    code = subprocess.run(sys.argv[1:], env=os.environ | told).returncode
sys.exit(code)
