"""Where the instructions of a request are spent, by the structure of the code: counted by callgrind, for Shoutback and for the minimal services.

An instruction counts for the innermost frame, inlined ones included, that is in no helper library: the cost of a header map, an allocation
or a copy counts for the code that asked for it. Unlike time, the counts do not depend on other load on the machine. The kernel's work is
not in them.

`make bench ARGS=--structure` builds SHOUTBACK_BIN and THIN_BIN with line tables, and records the counts in structure.json.
"""

import contextlib
import itertools
import json
import os
import re
import socket
import subprocess
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

import peers
import report
from environment import Environment

#: The difference of a run with FEW requests and one with MANY more is the cost of MANY.
FEW, MANY = 200, 2_000
#: Helpers that call helpers, at most.
STEPS = 30
OTHER = "other"
NEW = "Shoutback, cached, new token"

#: Libraries whose work counts for the code that calls them. Code without a file is libc's or the vDSO's.
HELPERS = re.compile(
    r"^$|^\?|/library/(core|alloc|std|compiler-builtins|portable-simd|stdarch|backtrace)/|^/rust(c-|/deps/)|\.[0-9a-f]+-cgu\.\d+$|"
    r"^(hashbrown|bytes|http|memchr|itoa|zmij|ryu|smallvec|pin-project(-lite)?|futures-[a-z]+|slab|ahash|foldhash|indexmap|fnv|once_cell|"
    r"arc-swap|lock_api|parking_lot(_core)?|crossbeam-[a-z]+|arrayvec|either|serde(_core)?|tower(-[a-z]+)?|sync_wrapper)-\d"
)
#: The first pattern that matches a file, of this repository or of a crate, names its row.
ROWS = {
    "HTTP/1.1: hyper, both sides": r"hyper|httparse|httpdate|http-body|atomic-waker|want-|try-lock",
    "tasks, timers, sockets: tokio": r"tokio|mio-|socket2",
    "deadlines of the connection, graceful shutdown": r"src/(http/server|lifecycle|app|sync|blocking)",
    "routing, media types, headers": r"src/http/(docs|field_list|media|openapi|routes|shout)|src/http\.rs|axum|matchit|mediatype|mime",
    "JSON": r"src/json|serde_",
    "the minimal service itself": r"benches/peers/thin",
    "reqwest": r"reqwest-\d|url-|form_urlencoded|percent-encoding|idna|ipnet",
    "SHA-256 of the token": r"/?aws-lc.*sha256",
    "RS256": r"/?aws-lc|src/auth/jwks",
    "token cache, claims, scope": r"src/auth|src/http/authentication|jsonwebtoken|base64|signature",
    "traces": r"src/telemetry/trace|src/http/middleware/server_span|src/shoutcloud/attempt_span|opentelemetry|prost-|rand|chacha",
    "log line": r"src/telemetry/log|src/http/middleware/access_log|tracing-",
    "metrics": r"src/telemetry/metrics|metrics",
    "quota": r"src/quota|src/http/rate_limit|governor|nonzero",
    "request id, load shedding, problems": r"src/http/|uuid",
    "cache, coalescing, reversal": r"src/shout[/.]|unicode|quick_cache|dashmap",
    "connection to SHOUTCLOUD": r"src/shoutcloud/(transport|protocol|framing)|src/outbound",
    "retries, breaker, bulkhead": r"src/shoutcloud|reqwest-(middleware|retry)|retry-policies",
    # Its clock is calibrated at the start, for a fixed time: the number of instructions is not that of a request.
    "start": r"quanta",
}


class Profile:
    """A callgrind file: the costs of a program by function and address, and its calls."""

    def __init__(self, output, program):
        #: (function, address): instructions, those of called functions of other objects (libc) included.
        self.own = defaultdict(int)
        #: (calling function, address, called function): instructions, of the called function and what it calls.
        self.calls = defaultdict(int)
        #: Function: address of its first instruction.
        self.entries = {}
        located = {"ob": None, "fn": None, "cob": None, "cfn": None}
        called = False
        for line in output.read_text(errors="replace").splitlines():
            name, _, value = line.partition("=")
            if name in located:
                located[name] = value
            elif name == "calls":
                called = True
                callee = located["cob"] or located["ob"], located["cfn"]
                if callee[0] == program:
                    self.entries.setdefault(callee[1], int(value.split()[1], 16))
            elif line.startswith("0x"):
                address, _, cost = line.split()
                place = located["fn"], int(address, 16)
                if located["ob"] == program:
                    if called and callee[0] == program:
                        self.calls[(*place, callee[1])] += int(cost)
                    else:
                        self.own[place] += int(cost)
                if called:
                    called, located["cob"] = False, None

    def bias(self, program):
        """Returns the difference between the addresses of the process and those of the file."""
        symbols = {}
        for line in subprocess.run(["nm", "--defined-only", program], stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines():
            address, _, name = line.split(maxsplit=2)
            symbols[name] = int(address, 16)
        biases = Counter(address - symbols[name] for name, address in self.entries.items() if name in symbols)
        return biases.most_common(1)[0][0]


def rows_of(program, addresses):
    """Returns the row of each address of a program, or None for code of helper libraries only."""
    command = ["addr2line", "--addresses", "--inlines", "--exe", program]
    text = "".join(f"{address:#x}\n" for address in addresses)
    output = subprocess.run(command, input=text, stdout=subprocess.PIPE, text=True, check=True).stdout
    rows, address, files = {}, None, {}
    for line in output.splitlines():
        if line.startswith("0x"):
            address = int(line, 16)
            rows[address] = None
        elif rows[address] is None:
            file = line.rpartition(":")[0]
            if file not in files:
                files[file] = row_of(file)
            rows[address] = files[file]
    return rows


def row_of(file):
    """Returns the row of a source file."""
    name = re.sub(r"^.*/registry/src/[^/]+/", "", file).removeprefix(f"{peers.HERE.parents[1]}/")
    if HELPERS.search(name):
        return None
    return next((row for row, pattern in ROWS.items() if re.match(pattern, name)), OTHER)


def by_row(few, many, program):
    """Returns the instructions of a request by row."""
    bias = many.bias(program)
    own = {place: (cost - few.own[place]) / MANY for place, cost in many.own.items()}
    # Shares of the longer run: differences of what runs at start only are about 0, so quotients of them would be anything.
    calls = many.calls
    rows = rows_of(program, sorted({place[1] - bias for place in (*own, *calls)}))
    called = defaultdict(float)
    for (_, _, callee), cost in calls.items():
        called[callee] += cost
    # What helper functions cost, to be shared among their callers: helpers call helpers, so it takes several steps. What has no caller
    # belongs to the start.
    result, waiting = defaultdict(float), defaultdict(float)
    for (function, address), cost in own.items():
        row = rows[address - bias]
        (waiting if row is None else result)[function if row is None else row] += cost
    for _ in range(STEPS):
        passed = defaultdict(float)
        for (function, address, callee), cost in calls.items():
            if waiting[callee] and called[callee]:
                row, share = rows[address - bias], waiting[callee] * cost / called[callee]
                (passed if row is None else result)[function if row is None else row] += share
        waiting = passed
    return {row: result[row] for row in (*ROWS, OTHER) if row != "start"}


def measure(start, program, tokens, directory):
    """Runs a peer twice under callgrind. Returns the instructions of a request by row."""
    profiles = []
    for count in (FEW, FEW + MANY):
        output = directory / "callgrind"
        options = ["--dump-instr=yes", "--demangle=no", "--compress-pos=no", "--compress-strings=no", f"--callgrind-out-file={output}"]
        peer = start(["valgrind", "--quiet", "--tool=callgrind", *options])
        with peer.process:
            call(peer, itertools.islice(itertools.cycle(tokens), count))
        peer.process.child.wait()
        profiles.append(Profile(output, program))
    return by_row(*profiles, program)


def call(peer, tokens):
    """Sends a request with each token, one after another on one connection."""
    body = peer.body()
    head = f"POST {peer.path} HTTP/1.1\r\nhost: {peer.address}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
    host, _, port = peer.address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection, connection.makefile("rb") as responses:
        for token in tokens:
            connection.sendall(f"{head}authorization: Bearer {token}\r\n\r\n{body}".encode())
            status = responses.readline()
            assert b" 200 " in status, status
            length = 0
            while (line := responses.readline().strip().lower()) != b"":
                if line.startswith(b"content-length:"):
                    length = int(line.partition(b":")[2])
            assert length and len(responses.read(length)) == length


def main():
    measured = {}
    with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as stack:
        directory = Path(directory)
        environment = Environment(directory, stack)
        service, thin = os.environ["SHOUTBACK_BIN"], os.environ["THIN_BIN"]
        log = directory / "log"
        starts = {
            "bare hyper, without a call": (thin, lambda through: peers.floor_local(environment, log, through)),
            "bare axum, without a call": (thin, lambda through: peers.minimal_local(environment, log, through)),
            "Shoutback, cached": (service, lambda through: peers.shoutback(environment, log, through=through)),
            NEW: (service, lambda through: peers.shoutback(environment, log, through=through)),
            "bare hyper, in and out": (thin, lambda through: peers.floor_proxy(environment, log, through)),
            "bare axum + reqwest": (thin, lambda through: peers.minimal_proxy(environment, log, through)),
            "Shoutback, proxied": (service, lambda through: peers.shoutback(environment, log, through=through, CACHE_CAPACITY="0")),
        }
        new = environment.tokens(FEW + MANY).read_text().split()
        for name, (program, start) in starts.items():
            costs = measure(start, program, new if name == NEW else [environment.token], directory)
            measured[name] = {row: round(cost) for row, cost in costs.items()}
            print(f"{name}: {sum(costs.values()):.0f}", *(f"{cost:10} {row}" for row, cost in measured[name].items() if cost), sep="\n", flush=True)
    recorded = {"date": report.today(), "commit": report.commit(), "programs": measured}
    report.STRUCTURE.write_text(json.dumps(recorded, indent=1, ensure_ascii=False) + "\n")
    report.render()


if __name__ == "__main__":
    main()
