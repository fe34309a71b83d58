"""How the service's metrics are asked for, and the colour of what they show."""

SCOPE = 'job="shoutback",environment="$environment",instance=~"$instance"'

ALERTS = 'ALERTS{alertname=~"Shoutback.*",alertstate="firing",environment="$environment"}'

REQUESTS = "http_server_request_duration_seconds"
ATTEMPTS = "http_client_request_duration_seconds"
SHOUTS = "shoutback_shouts_total"

# The SLO as ../../prometheus has it. Whoever hangs up has no answer that could be good or bad, and a key set that cannot be
# had has an alert of its own.
COUNTED = 'http_route="/v1",error_type!~"cancelled|keys-unavailable"'
FAILED = 'http_route="/v1",http_response_status_code=~"5..",error_type!="keys-unavailable"'
TIMED = 'http_route="/v1",error_type!~"cancelled|request-timeout"'
ANSWERED = 'http_route="/v1",error_type!="cancelled"'
# 99.9 % over 30 days.
BUDGET = "0.001"
# Prometheus 3 writes the bucket's bound with a point.
SECOND = 'le=~"1|1[.]0"'

# What is drawn in several panels has one colour in all of them.
ENDS = {"served": "green", "refused": "blue", "failed": "red", "cancelled": "text"}
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
WHOSE = {"SHOUTCLOUD": "red", "ours": "purple", "Cognito": "dark-yellow"}
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
    "connection": "dark-red",
    "timeout": "orange",
    "deadline": "dark-orange",
    "not_a_shout": "purple",
    "cancelled": "text",
}
PERCENTILES = {"p50": "green", "p90": "yellow", "p99": "red"}
LOOK_UPS = {"hit": "blue", "stale": "yellow", "miss": "green", "bypass": "text"}


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
    """The share of answers that were failures of ours."""
    failed, answered = (total(rate(f"{REQUESTS}_count", which, window=window)) for which in (FAILED, COUNTED))
    return f"{failed} / {answered}"


def burn_rate(window):
    """How many times faster than the budget allows."""
    return f"{failed_share(window)} / {BUDGET}"
