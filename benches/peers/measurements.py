"""Measures CPU time, memory and latency of a peer. CPU time and memory are the operating system's accounting."""

import json
import os
import re
import resource
import socket
import subprocess
import time
from pathlib import Path

from harness.process import ENVIRONMENT, Process

from peers import HERE, OTHER_CORE, PEER_CORE, pinned

TICK = os.sysconf("SC_CLK_TCK")


def process_tree(pid):
    """Returns the PIDs of a process and its descendants."""
    pids = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            pids += process_tree(int(child))
    return pids


def cpu_seconds(pid):
    """Returns the CPU time of a process, its threads and its children, including those that have exited."""

    def ticks(pid):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return sum(int(field) for field in fields[11:15])

    return sum(ticks(pid) for pid in process_tree(pid)) / TICK


def memory_mib(pid, field="VmRSS"):
    def kib(pid):
        return int(re.search(rf"^{field}:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.M).group(1))

    return sum(kib(pid) for pid in process_tree(pid)) / 1024


def closed_loop(peer, seconds, connections=32, tokens=None, once=False, text=None, unique=False):
    """Runs wrk against a peer. Returns its results with the peer's CPU time per request, as `cpu_us`. `unique`: with a different text in
    each request."""
    body = peer.body() if text is None else peer.body(text)
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", HERE / "load.lua", peer.url]
    command += ["--", body] + ([tokens] if tokens else [])
    started = cpu_seconds(peer.pid)
    result = subprocess.run(
        pinned(OTHER_CORE, *map(str, command)),
        env=ENVIRONMENT | ({"ONCE": "1"} if once else {}) | ({"UNIQUE": "1"} if unique else {}),
        capture_output=True,
        text=True,
        check=True,
    )
    line = re.search(r"^\{.*\}$", result.stdout, re.M)
    assert line, result.stdout + result.stderr
    measured = json.loads(line.group())
    assert measured["requests"] and not measured["failed"], measured
    measured["cpu_us"] = 1e6 * (cpu_seconds(peer.pid) - started) / measured["requests"]
    measured["per_second"] = 1e6 * measured["requests"] / measured["microseconds"]
    measured["log_bytes"] = truncate_log(peer) / measured["requests"]
    return measured


def truncate_log(peer):
    """Empties the log and returns the bytes since the last time. The process keeps its offset, so the file becomes sparse instead of
    filling the disk; one that appends starts over."""
    size = os.stat(peer.process.log).st_size
    written = size - peer.logged if size > peer.logged else size
    peer.logged = size
    os.truncate(peer.process.log, 0)
    return written


def open_loop(program, peer, schedule, token, connections=64):
    """Sends requests at fixed rates, independent of the responses: `schedule` has pairs of requests per second and seconds. Returns for
    each pair what `thin open-loop` prints; and in the first of them the peer's CPU time, of all, as `cpu_seconds` and per request as
    `cpu_us`."""
    body = peer.body().encode()
    head = f"POST {peer.path} HTTP/1.1\r\nhost: {peer.address}\r\ncontent-type: application/json\r\nauthorization: Bearer {token}\r\n"
    head += f"content-length: {len(body)}\r\n\r\n"
    phases = ",".join(f"{rate:.0f}:{seconds}" for rate, seconds in schedule)
    command = pinned(OTHER_CORE, program, "open-loop", peer.address, phases, str(connections))
    started = cpu_seconds(peer.pid)
    result = subprocess.run(list(map(str, command)), input=head.encode() + body, capture_output=True, check=True)
    measured = json.loads(result.stdout)
    first = measured[0]
    first["cpu_seconds"] = cpu_seconds(peer.pid) - started
    # Those of the warm-up included.
    first["cpu_us"] = 1e6 * first["cpu_seconds"] / sum(int(rate * seconds) for rate, seconds in schedule)
    truncate_log(peer)
    return measured


def at_rate(program, peer, rate, seconds, token):
    """Sends requests at one rate, none of which may fail or be rejected."""
    [measured] = open_loop(program, peer, [(rate, seconds)], token)
    assert not measured["failed"] and not measured["rejected"], measured
    return measured


def verification_us(program, token, keys, count):
    """Returns the CPU microseconds of one RS256 signature check."""
    text = f"{token}\n{json.dumps(keys)}"
    started = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(pinned(PEER_CORE, program, "verify", str(count)), input=text, text=True, check=True)
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1e6 * (ended.ru_utime + ended.ru_stime - started.ru_utime - started.ru_stime) / count


def startup_ms(command, log, variables, admin):
    """Returns the milliseconds from the start of a process to the first 200 of its /readyz."""
    request = b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"

    def is_ready():
        try:
            with socket.create_connection(("127.0.0.1", admin), timeout=1) as connection:
                connection.sendall(request)
                return connection.recv(64).startswith(b"HTTP/1.1 200")
        except OSError:
            return False

    started = time.perf_counter()
    with Process(command, log, variables):
        while not is_ready():
            assert time.perf_counter() < started + 10, log.read_text()
            time.sleep(0.0005)
        return 1000 * (time.perf_counter() - started)
