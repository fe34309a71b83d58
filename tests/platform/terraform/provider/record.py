"""Records the schema of hashicorp/aws VERSION in `schema.json.gz`. See README.md."""

import gzip
import json
import os
import subprocess
import tempfile
from pathlib import Path

from harness.terraform import SOURCES, VERSION, environment, schema

CONFIGURATION = {"terraform": {"required_providers": {"aws": {"source": "hashicorp/aws", "version": VERSION}}}}


def main():
    os.environ["SHOUTBACK_TERRAFORM_PROVIDER"] = "real"
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "main.tf.json").write_text(json.dumps(CONFIGURATION))
        subprocess.run(["terraform", "init", "-input=false"], cwd=folder, env=environment(), check=True)
        text = json.dumps(schema(folder), sort_keys=True, separators=(",", ":"))
    # Without a timestamp, so that the same schema gives the same file.
    (SOURCES / "schema.json.gz").write_bytes(gzip.compress(text.encode(), mtime=0))


main()
