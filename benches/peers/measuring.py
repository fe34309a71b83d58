"""CPU time, memory and time, as the operating system accounts for them."""

import json
import os
import re
import resource
import socket
import subprocess
import time
from pathlib import Path

from harness.process import ENVIRONMENT, Process

from peers import HERE, OTHERS, PEERS, on

TICK = os.sysconf("SC_CLK_TCK")


def tree(pid):
    """A process and its descendants."""
    pids = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            pids += tree(int(child))
    return pids


def cpu_seconds(pid):
    """What a process, its threads and its children have used, those that have ended too."""

    def ticks(pid):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return sum(int(field) for field in fields[11:15])

    return sum(ticks(pid) for pid in tree(pid)) / TICK


def memory_mib(pid, field="VmRSS"):
    def kib(pid):
        return int(re.search(rf"^{field}:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.M).group(1))

    return sum(kib(pid) for pid in tree(pid)) / 1024


def burst(peer, seconds, connections=32, tokens=None, once=False, text=None):
    """wrk against a peer: what it says, and the peer's CPU time, as `cpu_us` a request."""
    body = peer.body() if text is None else peer.body(text)
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", HERE / "load.lua", peer.url]
    command += ["--", body] + ([tokens] if tokens else [])
    begun = cpu_seconds(peer.pid)
    result = subprocess.run(
        on(OTHERS, *map(str, command)),
        env=ENVIRONMENT | ({"ONCE": "1"} if once else {}),
        capture_output=True,
        text=True,
        check=True,
    )
    said = re.search(r"^\{.*\}$", result.stdout, re.M)
    assert said, result.stdout + result.stderr
    said = json.loads(said.group())
    assert said["requests"] and not said["broken"], said
    said["cpu_us"] = 1e6 * (cpu_seconds(peer.pid) - begun) / said["requests"]
    said["a_second"] = 1e6 * said["requests"] / said["microseconds"]
    # What it wrote meanwhile goes into a hole.
    os.truncate(peer.process.log, 0)
    return said


def steady(program, peer, rate, seconds, token, connections=32):
    """So many requests a second, whenever they are answered: latencies in microseconds."""
    body = peer.body().encode()
    head = f"POST {peer.path} HTTP/1.1\r\nhost: {peer.address}\r\ncontent-type: application/json\r\nauthorization: Bearer {token}\r\n"
    head += f"content-length: {len(body)}\r\n\r\n"
    command = on(OTHERS, program, "steady", peer.address, f"{rate:.0f}", f"{seconds}", str(connections))
    result = subprocess.run(list(map(str, command)), input=head.encode() + body, capture_output=True, check=True)
    said = json.loads(result.stdout)
    assert not said["failed"], said
    return said


def verification_us(program, token, keys, count):
    """CPU microseconds of one RS256 signature check."""
    text = f"{token}\n{json.dumps(keys)}"
    begun = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(on(PEERS, program, "verify", str(count)), input=text, text=True, check=True)
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1e6 * (ended.ru_utime + ended.ru_stime - begun.ru_utime - begun.ru_stime) / count


def until_ready_ms(command, log, variables, admin):
    """From the start of a process to the first 200 of its /readyz, in milliseconds."""
    request = b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"

    def is_ready():
        try:
            with socket.create_connection(("127.0.0.1", admin), timeout=1) as connection:
                connection.sendall(request)
                return connection.recv(64).startswith(b"HTTP/1.1 200")
        except OSError:
            return False

    begun = time.perf_counter()
    with Process(command, log, variables):
        while not is_ready():
            assert time.perf_counter() < begun + 10, log.read_text()
            time.sleep(0.0005)
        return 1000 * (time.perf_counter() - begun)
