"""Runs Terraform with a fake of hashicorp/aws, which is built from `tests/platform/terraform/provider` and serves the provider's schema.

With SHOUTBACK_TERRAFORM_PROVIDER=real Terraform downloads the provider instead.
"""

import fcntl
import functools
import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

from .process import ENVIRONMENT

SOURCES = Path(__file__).resolve().parents[1] / "platform/terraform/provider"
# The version of hashicorp/aws that terraform/ pins and whose schema is recorded.
VERSION = "6.19.0"
ADDRESS = "registry.terraform.io/hashicorp/aws"


class BuildError(Exception):
    """The fake provider could not be built; the text has the remedy."""


def is_real():
    """Returns whether Terraform downloads the real provider."""
    chosen = os.environ.get("SHOUTBACK_TERRAFORM_PROVIDER", "")
    if chosen not in ("", "real"):
        raise ValueError(f"SHOUTBACK_TERRAFORM_PROVIDER is {chosen!r}: set it to \"real\" to download hashicorp/aws, or unset it for the fake")
    return chosen == "real"


@functools.cache
def environment():
    """Returns the variables to run Terraform with: no credentials, and none of the caller's configuration."""
    variables = ENVIRONMENT | _inherited("HOME")
    # Most of Terraform's time goes into decoding the provider's schema, and much of that into collecting garbage.
    variables |= {"CHECKPOINT_DISABLE": "1", "GOGC": "400", "TF_IN_AUTOMATION": "1"}
    if not is_real():
        return variables | {"TF_CLI_CONFIG_FILE": str(stand_in() / "terraformrc")}
    variables |= _inherited("HTTPS_PROXY", "NO_PROXY")
    # The real provider is large, and a dozen folders need it.
    plugins = _cache() / "terraform-providers"
    plugins.mkdir(parents=True, exist_ok=True)
    # An empty configuration, so that ~/.terraformrc is not read.
    return variables | {"TF_CLI_CONFIG_FILE": os.devnull, "TF_PLUGIN_CACHE_DIR": str(plugins), "TF_PLUGIN_CACHE_MAY_BREAK_DEPENDENCY_LOCK_FILE": "true"}


def stand_in():
    """Builds the fake unless it exists, and returns the directory with its mirror and its `terraformrc`."""
    tools = _cache() / "tools"
    directory = tools / f"terraform-provider-{_fingerprint()}"
    if not directory.is_dir():
        tools.mkdir(parents=True, exist_ok=True)
        # The kernel releases the lock however its owner ends.
        with (tools / f".{directory.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not directory.is_dir():
                partial = directory.with_name(f"{directory.name}.partial")
                shutil.rmtree(partial, ignore_errors=True)
                _build(partial, directory)
                partial.rename(directory)
    return directory


def schema(folder):
    """Returns the schema of hashicorp/aws as Terraform prints it in an initialised folder, without what `recorded` leaves out."""
    done = subprocess.run(["terraform", "providers", "schema", "-json"], cwd=folder, env=environment(), check=True, stdout=subprocess.PIPE)
    return recorded(json.loads(done.stdout)["provider_schemas"][ADDRESS])


def recorded(printed):
    """Returns the part of a provider's schema that is recorded: provider, resources and data sources, without descriptions."""
    return {kind: _undescribed(printed[kind]) for kind in ("provider", "resource_schemas", "data_source_schemas")}


def _undescribed(value):
    if not isinstance(value, dict):
        return value
    # An attribute may be named `description`, too: its value is not text.
    return {key: _undescribed(inner) for key, inner in value.items() if not (key in ("description", "description_kind") and isinstance(inner, str))}


def _inherited(*names):
    return {name: os.environ[name] for name in names if name in os.environ}


def _cache():
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "shoutback"


def _fingerprint():
    digest = hashlib.sha256(VERSION.encode())
    for file in sorted([*SOURCES.glob("*.go"), *(SOURCES / name for name in ("go.mod", "go.sum", "schema.json.gz"))]):
        digest.update(f"\0{file.name}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def _build(partial, directory):
    """Fills `partial`, which is about to become `directory`."""
    system, architecture = _go("env", "GOOS", "GOARCH").split()
    # As Terraform looks providers up in a mirror.
    mirror = partial / "mirror" / ADDRESS / VERSION / f"{system}_{architecture}"
    mirror.mkdir(parents=True)
    _go("build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", mirror / f"terraform-provider-aws_v{VERSION}", ".")
    path = json.dumps(str(directory / "mirror"))
    (partial / "terraformrc").write_text(f"provider_installation {{\n  filesystem_mirror {{\n    path = {path}\n  }}\n}}\n")


def _go(*arguments):
    try:
        done = subprocess.run(["go", *arguments], cwd=SOURCES, env=os.environ | {"CGO_ENABLED": "0"}, capture_output=True, text=True)
    except FileNotFoundError:
        raise BuildError("Terraform's tests build their provider with Go: install Go, and put `go` on PATH") from None
    if done.returncode:
        raise BuildError(
            f"`go {arguments[0]}` failed in {SOURCES}:\n{done.stderr}\n"
            "If modules could not be downloaded, set GOPROXY to a proxy that can be reached. The first build needs a network, later ones do not"
        )
    return done.stdout
