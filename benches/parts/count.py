"""Counts instructions and allocations of the hot path. Unlike time, they do not depend on other load on the machine.

Compares them with benches/parts/instructions.json; fails if instructions have grown by more than 5 % and more
than 100, or an allocation was added.
`--write` writes that file instead. HOT_PATH_BIN is the binary `hot-path` of benches/parts.
"""

import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path

RECORDED = Path(__file__).parent / "instructions.json"
PROGRAM = os.environ["HOT_PATH_BIN"]
#: Each operation runs FEW and FEW + CALLS times; the difference is the cost of CALLS operations. The start-up cost varies by one or
#: two million instructions, which has to be small against it.
FEW = 100
CALLS = {
    "reverse-ascii": 10_000,
    "reverse-graphemes": 10_000,
    "token-cached": 10_000,
    "token-verified": 2_000,
    "token-rejected": 2_000,
    "request-cached": 5_000,
    "request-rejected": 2_000,
    "request-proxied": 4_000,
}
MAX_GROWTH = 1.05
#: The shortest operation took 799 and 863 instructions in two builds of the same code.
MAX_NOISE = 100
#: The log's thread and the connection pool allocate at irregular times.
MAX_MORE_ALLOCATIONS = 0.5


def run(*command):
    # One malloc arena for all threads and a minimal environment: both would change the counts.
    variables = {"PATH": os.environ["PATH"], "MALLOC_ARENA_MAX": "1"}
    result = subprocess.run(command, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if result.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} ended with {result.returncode}:\n{result.stderr}")
    return result.stderr


def instructions(name, count, variables=()):
    with tempfile.TemporaryDirectory() as directory:
        options = ["--tool=callgrind", f"--callgrind-out-file={directory}/out"]
        output = run("valgrind", *options, PROGRAM, name, str(count), *variables)
    return int(re.search(r"Collected : (\d+)", output).group(1))


def cost(name, calls, variables=()):
    """Returns the instructions of one operation, without the start-up cost. `variables` (NAME=VALUE) configure the service."""
    return round((instructions(name, FEW + calls, variables) - instructions(name, FEW, variables)) / calls)


def measure(name):
    """Returns the cost of one operation, without the start-up cost."""
    calls = CALLS[name]
    return {
        "instructions": cost(name, calls),
        "allocations": round(int(run(PROGRAM, name, "1000")) / 1000, 1),
    }


def main():
    if platform.machine() != "x86_64":
        print(f"The recorded counts are for x86_64; nothing is compared on {platform.machine()}")
        return 0
    measured = {}
    recorded = json.loads(RECORDED.read_text()) if RECORDED.exists() else {}
    problems = []
    for name in CALLS:
        now, before = measure(name), recorded.get(name)
        measured[name] = now
        change = f" ({100 * (now['instructions'] / before['instructions'] - 1):+.1f} %)" if before else ""
        print(f"{name:18} {now['instructions']:9} instructions{change}, {now['allocations']:6} allocations", flush=True)
        if before is None:
            problems.append(f"{name} is not in {RECORDED.name}")
            continue
        if now["instructions"] > max(MAX_GROWTH * before["instructions"], before["instructions"] + MAX_NOISE):
            problems.append(f"{name} takes {now['instructions']} instructions, and took {before['instructions']}")
        if now["allocations"] > before["allocations"] + MAX_MORE_ALLOCATIONS:
            problems.append(f"{name} makes {now['allocations']} allocations, and made {before['allocations']}")
    if "--write" in sys.argv:
        RECORDED.write_text(json.dumps(measured, indent=2) + "\n")
        return 0
    for problem in problems:
        print(f"FAILED {problem}")
    if problems:
        print("If the change is worth its cost, run `make instructions` to record the new counts")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
