"""Queries for CloudWatch Logs Insights: as far as can be tested without it, their syntax is valid and their fields exist."""

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
    """Returns the commands of a query, without comments, as pairs of name and arguments."""
    text = " ".join(line for line in query.splitlines() if not line.startswith("#"))
    return [tuple(part.strip().split(" ", 1)) for part in re.split(r"\|(?=(?:[^\"]|\"[^\"]*\")*$)", text)]


@pytest.mark.parametrize("name", QUERIES)
def test_its_fields_exist(name, cloudwatch):
    parts = commands(cloudwatch["insights"][name])
    assert {command for command, _ in parts} <= COMMANDS
    defined = set(re.findall(r" as (\w+)", cloudwatch["insights"][name].partition("\n")[2]))
    for _, rest in parts:
        words = set(re.findall(r"[@a-z][\w.]*", re.sub(r'"[^"]*"', "", rest)))
        assert words <= FIELDS | WORDS | defined, words - FIELDS - WORDS - defined


@pytest.mark.parametrize("name", QUERIES)
def test_it_is_limited(name, cloudwatch):
    """And describes its purpose, because it appears in a list of queries."""
    assert commands(cloudwatch["insights"][name])[-1][0] == "limit"
    assert cloudwatch["insights"][name].startswith("# ")


def test_its_events_exist(cloudwatch):
    named = {action for query in cloudwatch["insights"].values() for action in re.findall(r'event\.action = "([^"]+)"', query)}
    assert named and named <= ACTIONS


def test_the_tables_of_the_dashboard_are_these_queries(cloudwatch):
    tables = [one["properties"]["query"] for one in json.loads(cloudwatch["dashboard"])["widgets"] if one["type"] == "log"]
    plain = {query.partition("\n")[2].strip() for query in cloudwatch["insights"].values()}
    assert tables
    for table in tables:
        source, _, query = table.partition(" | ")
        assert source == "SOURCE '/log/group'" and query in plain
