"""The shipped rule files."""

import re
from pathlib import Path

import yaml

from harness.rules import RULES

OBSERVABILITY = Path(__file__).parents[4] / "observability"
TESTS = sorted((OBSERVABILITY / "prometheus/tests").glob("*.yaml"))
DOCS = Path(__file__).parents[4] / "docs"


def rules():
    """Returns every rule of every file."""
    return [rule for path in RULES for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]


def alerts():
    """Returns every alerting rule. Several may have the same name with different severities."""
    return [rule for rule in rules() if "alert" in rule]


#: Alerts on metrics of Kubernetes, the probe and cert-manager, which no fault of the service alone can raise: promtool tests them.
OUTSIDE = {"ShoutbackMemoryHigh", "ShoutbackCpuThrottled", "ShoutbackProbeFails", "ShoutbackProbeMissing", "ShoutbackCertificateExpires"}


#: It needs more than one client, and the emulator of Cognito has one.
NEEDS_CLIENTS = {"ShoutbackClientFails"}


def alerts_of_the_service():
    return [rule for rule in alerts() if rule["alert"] not in OUTSIDE]


def alerts_with_a_fault():
    return [rule for rule in alerts_of_the_service() if rule["alert"] not in NEEDS_CLIENTS]


def identified(rule):
    """Returns an alert's name for a test id."""
    return f"{rule['alert']}-{rule['labels']['severity']}"


def selectors(expression):
    """Returns the selectors of the service's metrics in an expression, without windows."""
    text = re.sub(r"\b(?:by|without|on|ignoring|group_left|group_right) ?\([^)]*\)", " ", expression)
    found = re.findall(r'([a-zA-Z_:][\w:]*)(\{(?:[^}"]|"[^"]*")*\})', text)
    others = ("ALERTS", "kube_", "container_", "probe_", "certmanager_", "nginx_")
    return [name + matchers for name, matchers in found if ":" not in name and not name.startswith(others) and "shoutback-probe" not in matchers]
