"""A container of the image with the restrictions of a pod: requests, DNS, TLS, health and shutdown."""

import asyncio
import json
import shlex
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from container import run
from harness.http1 import Http1
from harness.process import http_request
from peers import KeyServer, Resolver

ROOT = Path(__file__).resolve().parents[3]
NAME = "peer.shoutback.test"
LIMIT = 256 * 1024 * 1024

JSON = {"content-type": "application/json"}


def shout(container, data="hello, world!", token=None):
    headers = JSON | ({"authorization": f"Bearer {token}"} if token else {})
    return http_request("POST", container.url, {"data": data}, headers)


def status(pid):
    return dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())


def memory_limit(pid):
    """Returns the memory limit of the process' control group, of either version."""
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "memory":
            return int(Path(f"/sys/fs/cgroup/memory{path}/memory.limit_in_bytes").read_text())
        limit = Path(f"/sys/fs/cgroup{path}/memory.max")
        if not controllers and limit.exists():
            return int(limit.read_text())
    raise AssertionError("the process has no memory limit")


@pytest.fixture
def in_flight(start, shoutcloud):
    """`in_flight(**variables)` returns a container with a request in flight that takes a second, and the future response."""
    with ThreadPoolExecutor(1) as pool:

        def in_flight(**variables):
            container = start(**variables)
            shoutcloud.behave(delay="1s")
            response = pool.submit(shout, container)
            container.until("the request is in flight", lambda: container.active_requests() == 1)
            return container, response

        yield in_flight


def test_the_command_of_the_original_works(start):
    container = start()
    # The command of the README, with another port.
    [line] = [line for line in (ROOT / "README.md").read_text().splitlines() if "--header" in line]
    command = shlex.split(line.removeprefix("$ ").replace("localhost:5000", f"localhost:{container.port}"))
    assert f"http://localhost:{container.port}/v1" in command
    response = subprocess.run([command[0], "--silent", "--show-error", *command[1:]], capture_output=True, text=True, timeout=30)
    assert (json.loads(response.stdout), response.stderr) == ({"data": "!DLROW ,OLLEH"}, "")


def test_it_runs_restricted(start):
    container = start()
    pid = container.inspect()["State"]["Pid"]
    process = status(pid)
    assert process["Name"] == "shoutback"
    assert process["NSpid"].split()[-1] == "1"
    assert set(process["Uid"].split()) == set(process["Gid"].split()) == {"65532"}
    assert process["Groups"].split() in ([], ["65532"])
    assert {int(process[of], 16) for of in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert process["NoNewPrivs"] == "1"
    mounts = [line.split() for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines()]
    [root] = [fields for fields in mounts if fields[4] == "/"]
    assert "ro" in root[5].split(",")
    assert memory_limit(pid) == LIMIT


def test_its_version_is_its_label(start, image, description):
    container = start()
    code, text = http_request("GET", f"http://{container.admin}/version")
    labels = description["Config"]["Labels"]
    assert code == 200
    version = json.loads(text)
    assert version["git_commit"] == labels["org.opencontainers.image.revision"] == image.removeprefix("shoutback:")
    assert version["version"] == labels["org.opencontainers.image.version"]
    assert version["build_time"] == labels["org.opencontainers.image.created"]


def test_its_log_is_json_on_stdout_alone(start):
    container = start()
    assert shout(container)[0] == 200
    # Podman's format: time, stream, whether the line is complete, the line.
    log = Path(container.inspect()["HostConfig"]["LogConfig"]["Path"])
    lines = [line.split(" ", 3) for line in log.read_text().splitlines()]
    assert {stream for _, stream, _, _ in lines} == {"stdout"}
    logged = [json.loads(text) for _, _, _, text in lines]
    assert all(line["@timestamp"] and line["log.level"] for line in logged)
    assert "listening" in [line["message"] for line in logged]


def test_a_log_file_needs_a_mounted_folder(start, tmp_path):
    folder = tmp_path / "logs"
    folder.mkdir()
    folder.chmod(0o777)
    container = start(f"--volume={folder}:/var/log/shoutback", LOG_FILE="/var/log/shoutback/shoutback.log")
    assert shout(container)[0] == 200
    [written] = folder.iterdir()
    assert written.stat().st_uid == 65532
    assert '"message":"listening"' in written.read_text()


def test_names_are_resolved_by_hosts_and_dns(start, shoutcloud):
    port = shoutcloud.shoutcloud.rpartition(":")[2]
    container = start(SHOUTCLOUD_URL=f"http://localhost:{port}/V1/SHOUT")
    assert shout(container)[0] == 200
    with Resolver(NAME) as resolver:
        url = f"http://{NAME}:{port}/V1/SHOUT"
        container = start(f"--dns={resolver.address}", "--dns-search=.", SHOUTCLOUD_URL=url)
        assert shout(container)[0] == 200
        assert set(resolver.queries) == {NAME}
        unknown = f"http://unknown.{NAME}:{port}/V1/SHOUT"
        container = start(f"--dns={resolver.address}", "--dns-search=.", SHOUTCLOUD_URL=unknown, SHOUTCLOUD_MAX_RETRIES="0")
        assert shout(container)[0] == 503


def test_keys_are_fetched_over_tls_only_from_trusted_servers(start, files, shoutcloud, tmp_path):
    with KeyServer(NAME, shoutcloud.cognito, tmp_path) as keys:
        variables = shoutcloud.authentication() | {"COGNITO_JWKS_ENDPOINT": keys.url}
        host = f"--add-host={NAME}:127.0.0.1"
        own = start(host, f"--volume={keys.authority}:/authority.pem:ro", SSL_CERT_FILE="/authority.pem", **variables)
        assert shout(own, token=shoutcloud.token())[0] == 200
        assert shout(own)[0] == 401

        bundle = tmp_path / "bundle.pem"
        shipped = (files / "etc/ssl/certs/ca-certificates.crt").read_text()
        bundle.write_text(shipped + keys.authority.read_text())
        extended = start(host, f"--volume={bundle}:/etc/ssl/certs/ca-certificates.crt:ro", **variables)
        assert shout(extended, token=shoutcloud.token())[0] == 200

        stranger = start(host, ready=False, **variables)
        stranger.until("a fetch of keys has failed", lambda: '"event.action":"key-refresh"' in stranger.output())
        assert shout(stranger, token=shoutcloud.token())[0] == 503
        assert "UnknownIssuer" in stranger.output()


def test_its_health_check_follows_readiness(start, description):
    check = description["Healthcheck"]["Test"][1:]
    container = start(SHUTDOWN_GRACE="5m")
    assert container.execute(*check) == 0
    container.signal("TERM")
    container.until("it is unready", lambda: not container.is_ready())
    assert container.execute(*check) == 1
    # It is unready and still serves; a second signal ends it.
    assert shout(container)[0] == 200
    container.signal("TERM")
    assert container.ended() == 1


@pytest.mark.parametrize("command", [["sh", "-c", "exit"], ["/bin/sh", "-c", "exit"], ["/bin/bash", "-c", "exit"], ["/shoutback", "dev"]])
def test_it_has_no_other_program(start, command):
    container = start()
    assert container.execute("/shoutback", "openapi") == 0
    assert container.execute(*command) != 0


def test_a_stop_completes_requests_in_flight(in_flight):
    container, response = in_flight(SHUTDOWN_GRACE="500ms")
    # If it had been killed, the exit code would be 137.
    stopped = run("podman", "stop", "--time=35", container.name)
    assert stopped.returncode == 0
    assert response.result()[0] == 200
    assert container.ended() == 0


@pytest.mark.parametrize("signal", ["INT", "TERM"])
def test_signals_reach_the_process(start, signal):
    container = start()
    container.signal(signal)
    assert container.ended() == 0


def test_a_burst_stays_within_its_memory(start):
    patient = {"SHOUTCLOUD_ATTEMPT_TIMEOUT": "20s", "SHOUTCLOUD_DEADLINE": "25s", "BREAKER_SLOW_CALL": "20s"}
    container = start(**patient)

    async def caller(number):
        connection = await Http1.connect("127.0.0.1", container.port)
        body = [json.dumps({"data": f"{number}-{turn} " * 2000}).encode() for turn in range(5)]
        statuses = [(await connection.post("/v1", JSON, text))[0] for text in body]
        connection.close()
        return statuses

    async def burst():
        return sum(await asyncio.gather(*(caller(number) for number in range(200))), [])

    assert asyncio.run(burst()) == [200] * 1000
    state = container.inspect()["State"]
    assert state["Running"] and not state["OOMKilled"]
