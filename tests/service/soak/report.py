"""Writes the summary as Markdown."""

import datetime
import os
import re
import statistics
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

PAGE = Path("docs/soak.md")
BEGIN, END = "<!-- soak: begin -->", "<!-- soak: end -->"


@dataclass
class Row:
    """A phase and its measurements."""

    number: int
    name: str
    seconds: float = 0
    upstream_calls: int = 0
    #: Seconds from the end of its fault until clients got only successes.
    settled: float | None = None
    outcomes: list = field(default_factory=list)
    memory: list = field(default_factory=list)
    descriptors: list = field(default_factory=list)

    @property
    def title(self):
        return f"phase {self.number} ({self.name})"


def markdown(rows, rate):
    today = datetime.datetime.now(datetime.timezone.utc).date()
    seconds, requests = sum(row.seconds for row in rows), sum(len(row.outcomes) for row in rows)
    lines = [
        f"{today}: {requests} requests in {seconds:.0f} s, {rate:.0f} per second, on {os.cpu_count()} cores shared with "
        "load, emulators and proxy.",
        "",
        "| phase | s | requests | results | p50 ms | p99 ms | errors | calls | settled in s | RSS MiB | descriptors |",
        "|---|--:|--:|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for row in rows:
        results = Counter(outcome.result for outcome in row.outcomes)
        listed = ", ".join(f"{count} {result}" for result, count in results.most_common())
        errors = sum(count for result, count in results.items() if result not in ("200", "unauthenticated", "not taken"))
        times = [1000 * (o.ended - o.began) for o in row.outcomes if o.result not in ("unauthenticated", "not taken")]
        cells = [
            f"{row.number} {row.name}",
            f"{row.seconds:.0f}",
            len(row.outcomes),
            listed,
            f"{percentile(times, 50):.1f}",
            f"{percentile(times, 99):.1f}",
            f"{100 * errors / max(1, len(row.outcomes)):.2f} %",
            row.upstream_calls,
            "" if row.settled is None else f"{row.settled:.1f}",
            f"{statistics.median(row.memory):.0f}" if row.memory else "",
            f"{statistics.median(row.descriptors):.0f}" if row.descriptors else "",
        ]
        lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def percentile(values, share):
    """Returns the nearest-rank percentile; 0 for no values."""
    return sorted(values)[max(0, -(-len(values) * share // 100) - 1)] if values else 0


def shortened(summary):
    """Returns what the page has of the summary: neither requests without a token, durations and ratios of errors, nor the calm phases
    between the first and the last."""
    lines = re.sub(r", \d+ unauthenticated", "", summary).splitlines()
    calm = [line for line in lines if re.match(r"\| \d+ calm ", line)]
    kept = [line.split("|") for line in lines if line not in calm[1:-1]]
    return "\n".join("|".join(cell for at, cell in enumerate(cells) if at not in (2, 7)) for cells in kept) + "\n"


def record(summary):
    """Replaces the generated part of the document."""
    summary = shortened(summary)
    before, begin, rest = PAGE.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"{PAGE} lacks {BEGIN} or {END}")
    PAGE.write_text(f"{before}{BEGIN}\n\n{summary}\n{END}{after}")
