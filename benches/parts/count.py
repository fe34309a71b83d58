"""Instructions and allocations of the hot path, which no other program on the machine changes.

Without an argument, compares them with benches/parts/instructions.json and fails if one has grown by more than 5 %, or an allocation was
added; `--write` writes that file anew. HOT_PATH_BIN is the program of benches.
"""

import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path

KEPT = Path(__file__).parent / "instructions.json"
PROGRAM = os.environ["HOT_PATH_BIN"]
#: How often, twice: the difference is what so many calls take. What a start takes varies by a million or two, and has to vanish
#: in it.
FEW = 100
CALLS = {
    "reverse-ascii": 10_000,
    "reverse-graphemes": 10_000,
    "token-remembered": 10_000,
    "token-verified": 2_000,
    "token-refused": 2_000,
    "request-cached": 5_000,
    "request-refused": 2_000,
    "request-through": 4_000,
}
TOLERATED = 1.05
#: The log's thread and the pool of connections allocate now and then.
ALLOCATIONS = 0.5


def run(*command):
    # One malloc for all threads, and nothing of this shell's: both would change what is counted.
    variables = {"PATH": os.environ["PATH"], "MALLOC_ARENA_MAX": "1"}
    result = subprocess.run(command, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if result.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} ended with {result.returncode}:\n{result.stderr}")
    return result.stderr


def instructions(name, count):
    with tempfile.TemporaryDirectory() as directory:
        options = ["--tool=callgrind", f"--callgrind-out-file={directory}/out"]
        said = run("valgrind", *options, PROGRAM, name, str(count))
    return int(re.search(r"Collected : (\d+)", said).group(1))


def measure(name):
    """Of one more call, whatever the start took."""
    calls = CALLS[name]
    return {
        "instructions": round((instructions(name, FEW + calls) - instructions(name, FEW)) / calls),
        "allocations": round(int(run(PROGRAM, name, "1000")) / 1000, 1),
    }


def main():
    if platform.machine() != "x86_64":
        print(f"What is kept was counted on x86_64; nothing is compared on {platform.machine()}")
        return 0
    measured = {}
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    problems = []
    for name in CALLS:
        now, then = measure(name), kept.get(name)
        measured[name] = now
        change = f" ({100 * (now['instructions'] / then['instructions'] - 1):+.1f} %)" if then else ""
        print(f"{name:18} {now['instructions']:9} instructions{change}, {now['allocations']:6} allocations", flush=True)
        if then is None:
            problems.append(f"{name} is not in {KEPT.name}")
            continue
        if now["instructions"] > TOLERATED * then["instructions"]:
            problems.append(f"{name} takes {now['instructions']} instructions, and took {then['instructions']}")
        if now["allocations"] > then["allocations"] + ALLOCATIONS:
            problems.append(f"{name} makes {now['allocations']} allocations, and made {then['allocations']}")
    if "--write" in sys.argv:
        KEPT.write_text(json.dumps(measured, indent=2) + "\n")
        return 0
    for problem in problems:
        print(f"FAILED {problem}")
    if problems:
        print("If the change is worth it, `make instructions` keeps what it takes now")
    return 1 if problems else 0


sys.exit(main())
