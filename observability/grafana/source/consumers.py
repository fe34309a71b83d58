"""Dashboard of clients: which one is affected, and why."""

from frame import choice, dashboard
from links import discover, of_client, of_outcome
from names import API, PROBLEMS, REQUESTS, SHOUTS, SOURCES, increase, rate, total
from panels import series, table

CLIENT = 'client_id=~"$client"'
LIMITED = "shoutback_rate_limited_total"
QUOTA = "shoutback_quota_requests_total"
AUTH = "shoutback_auth_total"
TOKENS = "shoutback_token_cache_total"
FAILED = 'outcome!~"success|cancelled"'
SERVED = [(None, "red"), (0.99, "orange"), (0.999, "green")]


def of_each(metric, *matchers):
    return total(increase(metric, CLIENT, *matchers), "client_id")


def rate_of_each(metric, *matchers):
    return total(rate(metric, CLIENT, *matchers), "client_id")


def served(by_client):
    """Returns the ratio of successes per client; no value for clients without requests. Who hung up was not served."""
    good = by_client(SHOUTS, 'outcome="success"')
    return f"{good} / ({by_client(SHOUTS)} > 0)"


def known():
    hits = total(rate(TOKENS, 'result="hit"'))
    return f"{hits} / {total(rate(TOKENS))}"


WHICH = [
    table(
        "Clients",
        "All clients in the selected time range. Normal: served above 99.9 %, none over quota. One "
        "client red: click it for its failures. All red: see the dashboard of the service. \"other\" is any client that "
        "is not configured.",
        ["client_id"],
        [
            ("accepted", of_each(SHOUTS), "short", []),
            ("served", served(of_each), "percentunit", SERVED),
            ("failed", of_each(SHOUTS, FAILED), "short", [(None, "green"), (1, "red")]),
            ("cancelled", of_each(SHOUTS, 'outcome="cancelled"'), "short", [(None, "green"), (1, "yellow")]),
            ("over quota", of_each(LIMITED), "short", [(None, "green"), (1, "orange")]),
        ],
        links=of_client("${__data.fields.client_id}"),
    ),
    series(
        "Served, by client",
        "Ratio of the accepted requests. Normal: 1. One line down: that client's requests differ, see its failures. All "
        "down: SHOUTCLOUD or Shoutback.",
        [(served(rate_of_each), "{{client_id}}")],
        "percentunit",
        max=1,
        links=of_client(),
    ),
    series(
        "Failures, by client",
        "By client and problem. Normal: none. Click a line for its requests.",
        [(total(rate(SHOUTS, CLIENT, FAILED), "client_id, outcome"), "{{client_id}}: {{outcome}}")],
        "reqps",
        stacked=True,
        links=of_outcome(),
    ),
]

WHAT = [
    series(
        "Requests, by client",
        "Accepted, well-formed requests. Normal: as at this hour yesterday. A client at 0 that "
        "should not be: its tokens are rejected (below), or it sends none.",
        [(rate_of_each(SHOUTS), "{{client_id}}")],
        "reqps",
        stacked=True,
        links=of_client(),
    ),
    series(
        "Over quota, by client",
        "Ratio of its requests rejected with 429. Normal: 0. Steady: the client needs a larger RATE_LIMIT_PER_CLIENT or is in a "
        "loop; ask its team before you raise the quota. Quotas are per replica.",
        [(f"{rate_of_each(LIMITED)} / ({rate_of_each(QUOTA)} > 0)", "{{client_id}}")],
        "percentunit",
        max=1,
        links=of_client(),
    ),
    series(
        "Shouts by outcome",
        "Of the selected clients. Normal: success.",
        [(total(rate(SHOUTS, CLIENT), "outcome"), "{{outcome}}")],
        "reqps",
        PROBLEMS,
        stacked=True,
    ),
    series(
        "Responses by source",
        "Of the selected clients. Normal: upstream and cache. Only fallback or stale: SHOUTCLOUD fails.",
        [(total(rate(SHOUTS, CLIENT, 'outcome="success"'), "source"), "{{source}}")],
        "reqps",
        SOURCES,
        stacked=True,
    ),
]

TOKEN = [
    series(
        "Tokens rejected, by reason",
        "Of all clients, because rejected tokens do not identify one. Normal: few. missing: no token at all; "
        "expired: a client does not renew; unknown_client, wrong_audience, missing_scope: it is not configured here; "
        "bad_signature, unknown_issuer: forged, or of another environment; keys_unavailable: Cognito.",
        [(total(rate(AUTH, 'outcome!="accepted"'), "outcome"), "{{outcome}}")],
        "reqps",
        stacked=True,
        links=[("Rejected requests in Kibana", discover('event.action:"request" and error.type:("unauthenticated" or "forbidden")'))],
    ),
    series(
        "Tokens accepted and rejected",
        "Normal: accepted follows the requests. Only rejected: see the reasons, and the keys on the "
        "dashboard of the runtime.",
        [(total(rate(AUTH, 'outcome="accepted"')), "accepted"), (total(rate(AUTH, 'outcome!="accepted"')), "rejected")],
        "reqps",
        {"accepted": "green", "rejected": "blue"},
        stacked=True,
    ),
    series(
        "Token cache hits",
        "Ratio of tokens that were verified before. Normal: near 1, because a token is valid for an hour. Low: a client "
        "fetches a token for each request; it should reuse tokens.",
        [(known(), "hit")],
        "percentunit",
        {"hit": "blue"},
        max=1,
    ),
    series(
        "Rejected after authentication",
        "4xx caused by the request itself. Normal: none, except during a client's development. Click a line for "
        "its requests.",
        [
            (
                total(
                    rate(
                        f"{REQUESTS}_count",
                        API,
                        'http_response_status_code=~"4.."',
                        'error_type!~"unauthenticated|forbidden|rate-limited"',
                    ),
                    "error_type",
                ),
                "{{error_type}}",
            )
        ],
        "reqps",
        stacked=True,
        links=[("These requests in Kibana", discover('event.action:"request" and error.type:"${__field.labels.error_type}"'))],
    ),
]

DASHBOARD = dashboard(
    "consumers",
    "consumers",
    "Which client is affected, and why?",
    {"Overview": WHICH, "Requests": WHAT, "Authentication": TOKEN},
    variables=[
        choice(
            "client",
            "Client",
            "By client_id.",
            'label_values(shoutback_shouts_total{job="shoutback",environment="$environment"}, client_id)',
            many=True,
        )
    ],
)
