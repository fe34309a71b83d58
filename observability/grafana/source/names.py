"""Queries of the service's metrics, and the colours of their series."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "slo"))

import objectives
from objectives import ANSWERED_OR_ABANDONED, AT_EDGE, BY_NAME, EDGE, OBJECTIVES

SCOPE = 'job="shoutback",environment="$environment",instance=~"$instance"'

ALERTS = 'ALERTS{alertname=~"Shoutback.*",alertstate="firing",environment="$environment"}'

# Builds that were not there five minutes earlier, nor, because scrapes may fail, in the ten minutes before that.
DEPLOYMENTS = (
    'count by (version, commit) (shoutback_build_info{job="shoutback",environment="$environment"})'
    ' unless on (version, commit) last_over_time(shoutback_build_info{job="shoutback",environment="$environment"}[10m] offset 5m)'
)

REQUESTS = "http_server_request_duration_seconds"
ATTEMPTS = "http_client_request_duration_seconds"
SHOUTS = "shoutback_shouts_total"

# Selects the routes of the API.
API = objectives.API

COUNTED = BY_NAME["availability"].total[0][1]
FAILED = BY_NAME["availability"].bad[0][1]
# What a consumer waited for, up to the moment at which it hung up.
WAITED = ANSWERED_OR_ABANDONED
# Recorded by the rules, for all replicas together.
RECORDED = 'job="shoutback",environment="$environment"'
BUDGET_LEFT = "job_environment_slo:shoutback_budget_left:ratio30d"
EDGE_CODES = f'sum by (code) (rate({EDGE}_count{{environment="$environment",{AT_EDGE}}}[$__rate_interval]))'
BAD = "job_environment_slo:shoutback_bad:ratio_rate"

# Series have the same colour in all panels.
ENDS = {"served": "green", "rejected": "blue", "failed": "red", "cancelled": "yellow"}
PROBLEMS = {
    "success": "green",
    "upstream-unavailable": "red",
    "upstream-timeout": "orange",
    "upstream-invalid": "dark-red",
    "overloaded": "purple",
    "internal-error": "dark-purple",
    "keys-unavailable": "dark-yellow",
    "cancelled": "yellow",
}
ORIGINS = {"SHOUTCLOUD": "red", "Shoutback": "purple", "Cognito": "dark-yellow"}
SOURCES = {
    "upstream": "green",
    "cache": "blue",
    "coalesced": "light-blue",
    "stale": "yellow",
    "fallback": "orange",
    "none": "text",
}
ATTEMPT_ENDS = {
    "shout": "green",
    "transient_status": "red",
    "dns": "dark-purple",
    "refused": "dark-red",
    "connect_timeout": "semi-dark-red",
    "tls": "dark-blue",
    "reset": "light-red",
    "closed": "super-light-red",
    "connection": "semi-dark-orange",
    "timeout": "orange",
    "deadline": "dark-orange",
    "not_a_shout": "purple",
    "cancelled": "text",
}
PERCENTILES = {"p50": "green", "p90": "yellow", "p99": "red"}
CACHE_RESULTS = {"hit": "blue", "stale": "yellow", "miss": "green", "bypass": "text"}


def select(metric, *matchers):
    return f"{metric}{{{','.join([SCOPE, *matchers])}}}"


def rate(metric, *matchers, window="$__rate_interval"):
    return f"rate({select(metric, *matchers)}[{window}])"


def increase(metric, *matchers, window="$__range"):
    return f"increase({select(metric, *matchers)}[{window}])"


def total(of, by=""):
    return f"sum by ({by}) ({of})" if by else f"sum({of})"


def quantile(share, histogram, *matchers, by="", window="$__rate_interval"):
    buckets = total(rate(f"{histogram}_bucket", *matchers, window=window), f"le, {by}" if by else "le")
    return f"histogram_quantile({share}, {buckets})"


def percentiles(histogram, *matchers):
    return [(quantile(share, histogram, *matchers), name) for share, name in (("0.5", "p50"), ("0.9", "p90"), ("0.99", "p99"))]


def recorded(name, slo=None):
    """Returns a recorded series, of all objectives or of one."""
    return f"{name}{{{RECORDED}}}" if slo is None else f'{name}{{{RECORDED},slo="{slo}"}}'


def burn_rate(window, *names):
    """Returns the burn rates of these objectives, or of all: 1 spends the budget in exactly 30 days."""
    chosen = [BY_NAME[name] for name in names] or [one for one in OBJECTIVES if window in one.windows()]
    return " or ".join(f"{recorded(BAD + window, one.name)} / {one.budget:g}" for one in chosen)
