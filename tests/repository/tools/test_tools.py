"""scripts/tools: what it installs once, what it rebuilds, and what it prints if a requirement is missing."""

import hashlib
import http.server
import io
import os
import shutil
import subprocess
import sys
import tarfile
import threading
from pathlib import Path

import pytest

from harness.process import wait_until

TOP = Path(__file__).resolve().parents[3]
PROGRAM = b"#!/bin/sh\necho hello\n"


class Machine:
    """A machine with a table of tools, an empty cache, and only some commands on PATH."""

    def __init__(self, directory):
        self.directory, self.table, self.cache, self.bin = directory, directory / "tools.toml", directory / "cache", directory / "bin"
        self.bin.mkdir()
        for name in ("chmod", "nice", "touch"):
            (self.bin / name).symlink_to(shutil.which(name))

    def command(self, name, script):
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def start(self, *arguments):
        environment = {"PATH": str(self.bin), "HOME": str(self.directory), "XDG_CACHE_HOME": str(self.cache), "TOOLS_TABLE": str(self.table)}
        return subprocess.Popen(
            [sys.executable, TOP / "scripts/tools", *arguments], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def run(self, *arguments):
        child = self.start(*arguments)
        stdout, stderr = child.communicate()
        return child.returncode, stdout.strip(), stderr


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


# A fake Go, which counts its builds and writes the program to install.
GO = '[ "$1" = env ] && echo go1.26.0 && exit; echo call >>"$HOME/calls"; {before} echo "#!/bin/sh" >"$GOBIN/tool"; chmod +x "$GOBIN/tool"'
TABLE = '[tool]\ngo = ["example.test/tool"]\nversion = "1.2.3"\n'


def calls(machine):
    return (machine.directory / "calls").read_text().count("call")


def test_installs_once_and_puts_it_first_on_path(machine):
    machine.table.write_text(TABLE)
    machine.command("go", GO.format(before=""))
    code, path, _ = machine.run("path", "tool")
    assert code == 0
    first, *others = path.split(":")
    assert (Path(first) / "tool").exists() and others == [str(machine.bin)]
    assert machine.run("path", "tool")[1] == path and calls(machine) == 1


def test_another_version_is_another_installation(machine):
    machine.table.write_text(TABLE)
    machine.command("go", GO.format(before=""))
    before = machine.run("dir", "tool")[1]
    machine.table.write_text(TABLE.replace("1.2.3", "1.2.4"))
    assert machine.run("dir", "tool")[1] != before and calls(machine) == 2


def test_two_at_once_build_once(machine):
    machine.table.write_text(TABLE)
    machine.command("go", GO.format(before='while [ ! -e "$HOME/both" ]; do :; done;'))
    children = [machine.start("path", "tool") for _ in range(2)]
    pids = {str(child.pid) for child in children}

    def one_waits():
        # A row of a process that waits for a lock: "1: -> FLOCK ADVISORY WRITE PID …"
        rows = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
        return any(row[1] == "->" and row[5] in pids for row in rows)

    try:
        wait_until("the second waits for the first", one_waits)
    finally:
        (machine.directory / "both").touch()
    results = [child.communicate()[0] for child in children]
    assert [child.returncode for child in children] == [0, 0]
    assert results[0] == results[1] and calls(machine) == 1


def test_leftovers_of_an_aborted_build_are_replaced(machine):
    machine.table.write_text(TABLE)
    machine.command("go", GO.format(before='touch "$GOBIN/rest"; exit 9;'))
    code, _, stderr = machine.run("dir", "tool")
    assert code == 1 and "ended with 9" in stderr
    machine.command("go", GO.format(before=""))
    code, directory, _ = machine.run("dir", "tool")
    assert code == 0 and [path.name for path in (Path(directory) / "bin").iterdir()] == ["tool"]
    assert not list(Path(directory).parent.glob("*.partial"))


def test_a_missing_command_is_a_skip_with_a_remedy(machine):
    machine.table.write_text(TABLE)
    code, stdout, stderr = machine.run("path", "tool")
    assert (code, stdout) == (77, "")
    assert stderr.splitlines()[-1] == "skipped: needs go: sudo apt-get install golang-go"


def test_a_go_that_cannot_download_toolchains_is_a_skip(machine):
    machine.table.write_text(TABLE)
    machine.command("go", "echo go1.19.8")
    code, _, stderr = machine.run("path", "tool")
    assert code == 77 and "needs Go 1.21 or later" in stderr.splitlines()[-1]


def test_an_installed_tool_still_needs_its_commands(machine):
    machine.table.write_text(TABLE + 'commands = { "engine" = "engine-package" }\n')
    machine.command("go", GO.format(before=""))
    machine.command("engine", "")
    assert machine.run("path", "tool")[0] == 0
    assert machine.run("debian", "tool")[1] == ""
    (machine.bin / "engine").unlink()
    code, _, stderr = machine.run("path", "tool")
    assert code == 77 and stderr.endswith("skipped: needs engine: sudo apt-get install engine-package\n")
    assert machine.run("debian", "tool")[1] == "engine-package"


@pytest.mark.skipif(os.geteuid() == 0, reason="root meets the requirement")
def test_root_is_required_before_anything_is_done(machine):
    machine.table.write_text('[tool]\nrecipe = "none"\nversion = "1"\nroot = "it mounts"\n')
    assert machine.run("path", "tool")[::2] == (77, "skipped: needs root: it mounts\n")


@pytest.fixture
def release(machine):
    """Serves an archive of the program as upstream publishes it; yields its URL and checksum."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as packed:
        entry = tarfile.TarInfo("tool")
        entry.size, entry.mode = len(PROGRAM), 0o755
        packed.addfile(entry, io.BytesIO(PROGRAM))

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            # The connection breaks in the middle.
            missing = 100 if "short" in self.path else 0
            self.send_header("content-length", str(len(archive.getvalue()) + missing))
            self.end_headers()
            self.wfile.write(archive.getvalue())

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v{{version}}/tool.tar.gz", hashlib.sha256(archive.getvalue()).hexdigest()
    server.shutdown()
    server.server_close()


def with_binary(url, sha256):
    platforms = "".join(f'[tool.binary.linux-{kind}]\nurl = "{url}"\nsha256 = "{sha256}"\n' for kind in ("amd64", "arm64"))
    return TABLE + platforms


def test_a_published_binary_with_the_right_checksum_comes_first(machine, release):
    machine.table.write_text(with_binary(*release))
    machine.command("go", GO.format(before=""))
    _, directory, _ = machine.run("dir", "tool")
    assert (Path(directory) / "bin/tool").read_bytes() == PROGRAM
    assert not (machine.directory / "calls").exists()


def test_a_wrong_checksum_is_an_error_and_nothing_is_installed(machine, release):
    machine.table.write_text(with_binary(release[0], "0" * 64))
    machine.command("go", GO.format(before=""))
    code, _, stderr = machine.run("dir", "tool")
    assert code == 1 and "SHA-256" in stderr
    assert not (machine.directory / "calls").exists()
    assert not [path for path in (machine.cache / "shoutback/tools").iterdir() if path.name.startswith("tool-1.2.3") and "partial" not in path.name]


# Nothing listens on port 9 of loopback.
@pytest.mark.parametrize("url", ["http://127.0.0.1:9/tool.tar.gz", "short"])
def test_an_unavailable_binary_is_built_from_source(machine, release, url):
    machine.table.write_text(with_binary(release[0].replace("tool.tar", "short.tar") if url == "short" else url, release[1]))
    machine.command("go", GO.format(before=""))
    code, directory, stderr = machine.run("dir", "tool")
    assert code == 0 and "building from source" in stderr and (Path(directory) / "bin/tool").exists()


def test_an_unknown_tool_is_an_error_that_lists_the_known_ones(machine):
    machine.table.write_text(TABLE)
    code, _, stderr = machine.run("path", "toll")
    assert code == 2 and "has no tool toll" in stderr and "tool" in stderr


def test_required_modules_are_replaced_and_c_is_compiled(machine):
    machine.table.write_text(
        '[tool]\ngo = ["example.test/tool"]\nversion = "1.2.3"\nmodule = "example.test/tool"\ncgo = true\n[tool.replace]\n"example.test/other" = "1.0.0"\n'
    )
    machine.command("cc", "")
    machine.command("go", '[ "$1" = env ] && echo go1.26.0 && exit; echo "$CGO_ENABLED $*" >>"$HOME/calls"')
    assert machine.run("dir", "tool")[0] == 0
    _, edit, build = (machine.directory / "calls").read_text().splitlines()
    assert "-require=example.test/tool@v1.2.3 -replace=example.test/other=example.test/other@v1.0.0" in edit
    assert build.startswith("1 build -mod=mod")
    (machine.bin / "cc").unlink()
    assert machine.run("debian", "tool")[1] == "gcc"


def test_each_entry_of_the_table_has_a_method():
    listed = subprocess.run([TOP / "scripts/tools", "list"], capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(listed) > 20
