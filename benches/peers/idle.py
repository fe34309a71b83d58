"""Finds other load on the machine: the CPU time of everything but this process and its children, over some seconds. A load average
would also count what has ended already, and this process' own children."""

import os
import time
from pathlib import Path

from measurements import process_tree

TICK = os.sysconf("SC_CLK_TCK")
#: CPU seconds per second, of all cores together.
ALLOWED = 0.1
SECONDS = 5


def busy():
    """Returns the CPU seconds of the whole machine since its boot, those that a hypervisor withheld included, without waits for disks."""
    fields = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    user, nice, system, _idle, _iowait, irq, softirq, steal = fields
    return (user + nice + system + irq + softirq + steal) / TICK


def processes():
    """Returns the CPU seconds and the command of each process."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                command = (entry / "cmdline").read_text().replace("\0", " ").strip() or (entry / "comm").read_text().strip()
            except OSError:
                continue
            found[int(entry.name)] = (int(fields[11]) + int(fields[12])) / TICK, command
    return found


def other_load(seconds=SECONDS):
    """Returns the CPU seconds per second that others used, and the busiest of them: pairs of that figure and a text."""
    own = set(process_tree(os.getpid()))
    before, total = processes(), busy()
    started = time.monotonic()
    time.sleep(seconds)
    elapsed, total = time.monotonic() - started, busy() - total
    after = processes()
    used = {pid: (ticks - before.get(pid, (0, ""))[0]) / elapsed for pid, (ticks, _) in after.items()}
    others = total / elapsed - sum(used[pid] for pid in own if pid in used)
    busiest = sorted(((load, f"{pid} {after[pid][1][:80]}") for pid, load in used.items() if pid not in own and load > 0.01), reverse=True)
    return max(0.0, others), busiest[:5]


def complaint(load):
    """Returns why nothing can be measured with this result of `other_load`, or None."""
    others, busiest = load
    if others <= ALLOWED:
        return None
    lines = [f"other processes use {others:.2f} CPUs; at most {ALLOWED:.2f} are allowed"]
    return "\n".join(lines + [f"    {load:5.2f}  process {text}" for load, text in busiest])
