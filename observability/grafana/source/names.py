"""Queries of the service's metrics, and the colours of their series."""

SCOPE = 'job="shoutback",environment="$environment",instance=~"$instance"'

ALERTS = 'ALERTS{alertname=~"Shoutback.*",alertstate="firing",environment="$environment"}'

REQUESTS = "http_server_request_duration_seconds"
ATTEMPTS = "http_client_request_duration_seconds"
SHOUTS = "shoutback_shouts_total"

# The SLO as in ../../prometheus. Cancelled requests have no response, and unavailable keys have their own alert.
COUNTED = 'http_route="/v1",error_type!~"cancelled|keys-unavailable"'
FAILED = 'http_route="/v1",http_response_status_code=~"5..",error_type!="keys-unavailable"'
TIMED = 'http_route="/v1",error_type!~"cancelled|request-timeout"'
NOT_CANCELLED = 'http_route="/v1",error_type!="cancelled"'
# 99.9 % over 30 days.
BUDGET = "0.001"
# Prometheus 3 formats the bucket's bound with a decimal point.
SECOND = 'le=~"1|1[.]0"'

# Series have the same colour in all panels.
ENDS = {"served": "green", "rejected": "blue", "failed": "red", "cancelled": "text"}
PROBLEMS = {
    "success": "green",
    "upstream-unavailable": "red",
    "upstream-timeout": "orange",
    "upstream-invalid": "dark-red",
    "overloaded": "purple",
    "internal-error": "dark-purple",
    "keys-unavailable": "dark-yellow",
    "cancelled": "text",
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


def failed_share(window):
    """Returns the ratio of responses that count as failures."""
    failed, counted = (total(rate(f"{REQUESTS}_count", which, window=window)) for which in (FAILED, COUNTED))
    return f"{failed} / {counted}"


def burn_rate(window):
    """Returns the burn rate: 1 spends the budget in exactly 30 days."""
    return f"{failed_share(window)} / {BUDGET}"
