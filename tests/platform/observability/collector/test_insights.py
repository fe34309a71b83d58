"""Queries for CloudWatch Logs Insights: as far as one can tell without it, they can be read, and ask for what there is."""

import json
import re
from pathlib import Path

import pytest
from cloudwatch import SHIPPED

LOGGING = (Path(__file__).parents[4] / "docs/logging.md").read_text()
FIELDS = set(re.findall(r"^\| `([@a-z._]+)` \| (?:string|integer|list) \|", LOGGING, re.M))
ACTIONS = set(re.findall(r"^\| `([a-z-]+)` \|", LOGGING, re.M))
QUERIES = sorted(path.stem for path in (SHIPPED / "insights").glob("*.query"))

COMMANDS = {"fields", "filter", "sort", "stats", "limit"}
WORDS = {"and", "or", "as", "by", "asc", "desc", "count"}


def commands(query):
    """Its commands, without comments and what they do with them: pairs of a name and what follows."""
    text = " ".join(line for line in query.splitlines() if not line.startswith("#"))
    return [tuple(part.strip().split(" ", 1)) for part in re.split(r"\|(?=(?:[^\"]|\"[^\"]*\")*$)", text)]


@pytest.mark.parametrize("name", QUERIES)
def test_it_asks_for_fields_that_there_are(name, cloudwatch):
    parts = commands(cloudwatch["insights"][name])
    assert {command for command, _ in parts} <= COMMANDS
    made = set(re.findall(r" as (\w+)", cloudwatch["insights"][name].partition("\n")[2]))
    for _, rest in parts:
        words = set(re.findall(r"[@a-z][\w.]*", re.sub(r'"[^"]*"', "", rest)))
        assert words <= FIELDS | WORDS | made, words - FIELDS - WORDS - made


@pytest.mark.parametrize("name", QUERIES)
def test_it_ends(name, cloudwatch):
    """And says what it is for, as it will be seen in a list of many."""
    assert commands(cloudwatch["insights"][name])[-1][0] == "limit"
    assert cloudwatch["insights"][name].startswith("# ")


def test_events_are_ones_that_there_are(cloudwatch):
    named = {action for query in cloudwatch["insights"].values() for action in re.findall(r'event\.action = "([^"]+)"', query)}
    assert named and named <= ACTIONS


def test_the_tables_of_the_dashboard_are_these_queries(cloudwatch):
    tables = [one["properties"]["query"] for one in json.loads(cloudwatch["dashboard"])["widgets"] if one["type"] == "log"]
    plain = {query.partition("\n")[2].strip() for query in cloudwatch["insights"].values()}
    assert tables
    for table in tables:
        source, _, query = table.partition(" | ")
        assert source == "SOURCE '/log/group'" and query in plain
