"""The rule files that are shipped."""

import re
from pathlib import Path

import yaml

from harness.rules import RULES

OBSERVABILITY = Path(__file__).parents[4] / "observability"
TESTS = sorted((OBSERVABILITY / "prometheus/tests").glob("*.yaml"))
DOCS = Path(__file__).parents[4] / "docs"


def rules():
    """Every rule of every file."""
    return [rule for path in RULES for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]


def alerts():
    """Every rule that is an alert; several may share a name, with another severity each."""
    return [rule for rule in rules() if "alert" in rule]


def identified(rule):
    """An alert in the name of a test."""
    return f"{rule['alert']}-{rule['labels']['severity']}"


def selectors(expression):
    """The selectors of an expression whose metrics come from the service: name and matchers, without the window."""
    text = re.sub(r"\b(?:by|without|on|ignoring|group_left|group_right) ?\([^)]*\)", " ", expression)
    found = re.findall(r'([a-zA-Z_:][\w:]*)(\{(?:[^}"]|"[^"]*")*\})', text)
    return [name + matchers for name, matchers in found if ":" not in name]
