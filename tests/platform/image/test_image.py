"""The image: its configuration and every file in it."""

import json
import os
import re
import stat
import subprocess
import sys
import tomllib
import zlib
from fnmatch import fnmatchcase
from pathlib import Path

from container import run

ROOT = Path(__file__).resolve().parents[3]

MOST_BYTES = 20 * 1024 * 1024

# By machine: lib is lib64 and x86_64-linux-gnu, or lib and aarch64-linux-gnu.
FILES = [
    "etc/group",
    "etc/nsswitch.conf",
    "etc/os-release",
    "etc/passwd",
    "etc/ssl/certs/ca-certificates.crt",
    "lib/*-linux-gnu/libc.so.6",
    "lib/*-linux-gnu/libgcc_s.so.1",
    "lib/*-linux-gnu/libm.so.6",
    "lib*/ld-linux-*.so.[12]",
    "shoutback",
    "usr/share/doc/ca-certificates/copyright",
    "usr/share/doc/libc6/copyright",
    "usr/share/doc/libgcc-s1/copyright",
    "var/lib/dpkg/status.d/ca-certificates",
    "var/lib/dpkg/status.d/libc6",
    "var/lib/dpkg/status.d/libgcc-s1",
]


def inside(files):
    return [path for path in files.rglob("*") if not path.is_dir()]


def test_its_configuration_and_labels(image, description):
    revision = image.removeprefix("shoutback:")
    assert re.fullmatch("[0-9a-f]{40}(-dirty)?", revision)
    config = description["Config"]
    assert config["User"] == "65532:65532"
    assert config["Entrypoint"] == ["/shoutback"]
    assert "Cmd" not in config
    assert set(config["ExposedPorts"]) == {"5000/tcp", "9090/tcp"}
    assert config["StopSignal"] == "SIGTERM"
    assert config.get("WorkingDir", "/") in ("", "/")
    assert description["Healthcheck"]["Test"] == ["CMD", "/shoutback", "healthcheck"]
    # Podman adds a PATH of its own to an image that has none.
    assert all(variable.startswith("PATH=") for variable in config.get("Env", []))
    labels = {name.removeprefix("org.opencontainers.image."): value for name, value in config["Labels"].items()}
    manifest = (ROOT / "Cargo.toml").read_text()
    assert labels.pop("created").endswith("Z")
    # Buildah adds a label.
    labels.pop("io.buildah.version", None)
    assert labels == {
        "title": "shoutback",
        "description": re.search('^description = "(.*)"$', manifest, re.M).group(1),
        "version": re.search('^version = "(.*)"$', manifest, re.M).group(1),
        "source": "https://github.com/example/shoutback",
        "licenses": re.search('^license = "(.*)"$', manifest, re.M).group(1),
        "revision": revision,
    }


def test_its_files_are_exactly_these(files):
    found = sorted(str(path.relative_to(files)) for path in inside(files))
    unexpected = [path for path in found if not any(fnmatchcase(path, pattern) for pattern in FILES)]
    missing = [pattern for pattern in FILES if not any(fnmatchcase(path, pattern) for path in found)]
    assert (unexpected, missing) == ([], [])
    assert len(found) == len(FILES)


def test_it_is_small(files, capsys):
    size = sum(path.stat().st_size for path in inside(files))
    with capsys.disabled():
        print(f"\nthe image's files: {size / 2**20:.1f} MiB, of which the binary {(files / 'shoutback').stat().st_size / 2**20:.1f}")
    assert size < MOST_BYTES


def test_its_user_can_neither_write_nor_become_another_user(files):
    for path in [files, *files.rglob("*")]:
        found = path.lstat()
        assert (found.st_uid, found.st_gid) == (0, 0), path
        assert not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH | stat.S_ISUID | stat.S_ISGID), path
        assert stat.S_ISDIR(found.st_mode) or stat.S_ISREG(found.st_mode), path
        # For a user who owns no file.
        assert found.st_mode & (stat.S_IXOTH if path.is_dir() else stat.S_IROTH), path


def test_its_user_has_a_name_and_no_shell(files):
    assert (files / "etc/passwd").read_text() == "shoutback:x:65532:65532:shoutback:/:/nonexistent\n"
    assert (files / "etc/group").read_text() == "shoutback:x:65532:\n"


def test_scanners_find_the_packages_of_its_files(files):
    assert "ID=debian\n" in (files / "etc/os-release").read_text()
    for status in (files / "var/lib/dpkg/status.d").iterdir():
        fields = dict(re.findall(r"^([\w-]+): (.*)$", status.read_text(), re.M))
        assert fields["Package"] == status.name
        assert fields["Version"]
        assert fields["Architecture"]
        assert fields["Status"] == "install ok installed"


def test_it_trusts_the_certificates_of_its_distribution(files):
    bundle = (files / "etc/ssl/certs/ca-certificates.crt").read_text()
    assert bundle.count("-----BEGIN CERTIFICATE-----") > 100


def test_its_binary_holds_no_emulator_and_no_symbols(files):
    binary = (files / "shoutback").read_bytes()
    # The suite `features` proves that this string is in a binary with the emulators.
    assert b"/_emulator/" not in binary
    sections = subprocess.run(["readelf", "--sections", "--wide", files / "shoutback"], capture_output=True, text=True, check=True)
    assert ".symtab" not in sections.stdout


def test_its_binary_lists_its_crates(files, tmp_path):
    """In the section that vulnerability scanners read: zlib-compressed JSON."""
    section = tmp_path / "crates"
    subprocess.run(["objcopy", "--dump-section", f".dep-v0={section}", files / "shoutback", "/dev/null"], check=True, capture_output=True)
    listed = {(crate["name"], crate["version"]) for crate in json.loads(zlib.decompress(section.read_bytes()))["packages"]}
    locked = {(crate["name"], crate["version"]) for crate in tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]}
    assert listed <= locked
    assert {"shoutback", "hyper", "h2", "tokio", "jsonwebtoken"} <= {name for name, _ in listed}


def test_syft_lists_the_crates_and_packages_that_a_release_attests(image, tmp_path):
    """The same program as scripts/release/attest, which rejects an image of which it finds no crate."""
    sys.path.insert(0, str(ROOT / "scripts/release"))
    import attestations

    archive = tmp_path / "image.tar"
    run("podman", "save", "--quiet", "--format=oci-archive", f"--output={archive}", image)
    scan = ["syft", "scan", "--quiet", "--output=spdx-json", f"oci-archive:{archive}"]
    sbom = json.loads(subprocess.run(scan, env=os.environ | {"SYFT_CHECK_FOR_APP_UPDATE": "false"}, stdout=subprocess.PIPE, check=True).stdout)
    locked = tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
    assert 100 < attestations.crates(sbom) <= len(locked)
    names = {package["name"] for package in sbom["packages"]}
    assert {"shoutback", "axum", "jsonwebtoken", "libc6"} <= names


def test_its_binary_is_for_the_platform(image):
    help = run("podman", "run", "--rm", "--pull=never", "--network=none", image, "--help").stdout
    assert re.search(r"^  serve\b", help, re.M)
    assert not re.search(r"^  dev\b", help, re.M)
