"""Which consumer is not served, and why."""

from frame import choice, dashboard
from links import discover, of_client, of_outcome
from names import PROBLEMS, REQUESTS, SHOUTS, SOURCES, increase, rate, total
from panels import series, table

CLIENT = 'client_id=~"$client"'
LIMITED = "shoutback_rate_limited_total"
AUTH = "shoutback_auth_total"
TOKENS = "shoutback_token_cache_total"
# Whoever hung up was neither served nor failed.
COUNTED = 'outcome!="cancelled"'
FAILED = 'outcome!~"success|cancelled"'
SERVED = [(None, "red"), (0.99, "orange"), (0.999, "green")]


def of_each(metric, *matchers):
    return total(increase(metric, CLIENT, *matchers), "client_id")


def rate_of_each(metric, *matchers):
    return total(rate(metric, CLIENT, *matchers), "client_id")


def served(by_client):
    """Of each; nothing where nothing was asked."""
    good = by_client(SHOUTS, 'outcome="success"')
    return f"{good} / ({by_client(SHOUTS, COUNTED)} > 0)"


def known():
    hits = total(rate(TOKENS, 'result="hit"'))
    return f"{hits} / {total(rate(TOKENS))}"


WHICH = [
    table(
        "Consumers",
        "In the time shown, those with requests or not. Normal: served above 99.9 %, none refused for its quota. One "
        "consumer red: click it for its failures. All red: the dashboard of the service. \"other\" is any client that "
        "is not configured.",
        ["client_id"],
        [
            ("let in", of_each(SHOUTS), "short", []),
            ("served", served(of_each), "percentunit", SERVED),
            ("failed", of_each(SHOUTS, FAILED), "short", [(None, "green"), (1, "red")]),
            ("hung up", of_each(SHOUTS, 'outcome="cancelled"'), "short", []),
            ("over quota", of_each(LIMITED), "short", [(None, "green"), (1, "orange")]),
        ],
        links=of_client("${__data.fields.client_id}"),
    ),
    series(
        "Served, by consumer",
        "Share of what was let in. Normal: 1. One line down: that consumer's requests differ, see its failures. All "
        "down: SHOUTCLOUD or us.",
        [(served(rate_of_each), "{{client_id}}")],
        "percentunit",
        max=1,
        links=of_client(),
    ),
    series(
        "Failures, by consumer",
        "By consumer and problem. Normal: none. Click a line for its requests.",
        [(total(rate(SHOUTS, CLIENT, FAILED), "client_id, outcome"), "{{client_id}}: {{outcome}}")],
        "reqps",
        stacked=True,
        links=of_outcome(),
    ),
]

WHAT = [
    series(
        "Requests, by consumer",
        "Those that were let in and could be read. Normal: what it was at this hour yesterday. A consumer at 0 that "
        "should not be: its tokens are refused (below), or it does not call.",
        [(rate_of_each(SHOUTS), "{{client_id}}")],
        "reqps",
        stacked=True,
        links=of_client(),
    ),
    series(
        "Over quota, by consumer",
        "Requests refused with 429. Normal: none. Steady: the consumer needs a larger RATE_LIMIT_PER_CLIENT or has a "
        "loop; ask it before you raise. Quotas are per replica.",
        [(rate_of_each(LIMITED), "{{client_id}}")],
        "reqps",
        stacked=True,
        links=of_client(),
    ),
    series(
        "How shouts ended",
        "Of the consumers chosen. Normal: success.",
        [(total(rate(SHOUTS, CLIENT), "outcome"), "{{outcome}}")],
        "reqps",
        PROBLEMS,
        stacked=True,
    ),
    series(
        "Where answers came from",
        "Of the consumers chosen. Normal: upstream and cache. Only fallback or stale: SHOUTCLOUD fails.",
        [(total(rate(SHOUTS, CLIENT, 'outcome="success"'), "source"), "{{source}}")],
        "reqps",
        SOURCES,
        stacked=True,
    ),
]

TOKEN = [
    series(
        "Tokens refused, by reason",
        "Of all callers: who they are is not known before the token is. Normal: few. missing: no token at all; "
        "expired: a consumer does not renew; unknown_client, missing_scope: it is not set up here; bad_signature, "
        "unknown_issuer: forged, or of another environment; keys_unavailable: Cognito.",
        [(total(rate(AUTH, 'outcome!="accepted"'), "outcome"), "{{outcome}}")],
        "reqps",
        stacked=True,
        links=[("Refused requests in Kibana", discover('event.action:"request" and error.type:("unauthenticated" or "forbidden")'))],
    ),
    series(
        "Tokens accepted, and refused",
        "Normal: accepted follows the requests. Refused alone: nobody gets in; see the reasons, and the keys on the "
        "dashboard of the runtime.",
        [(total(rate(AUTH, 'outcome="accepted"')), "accepted"), (total(rate(AUTH, 'outcome!="accepted"')), "refused")],
        "reqps",
        {"accepted": "green", "refused": "blue"},
        stacked=True,
    ),
    series(
        "Tokens known already",
        "Share of the verifications that were saved. Normal: near 1, as a token serves for an hour. Low: a consumer "
        "fetches a token for each request; tell it to keep them.",
        [(known(), "hit")],
        "percentunit",
        {"hit": "blue"},
        max=1,
    ),
    series(
        "Refused after the token",
        "4xx that are about the request itself. Normal: none but during a consumer's development. Click a line for "
        "its requests.",
        [
            (
                total(
                    rate(
                        f"{REQUESTS}_count",
                        'http_route="/v1"',
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
    "Which consumer is not served, and why?",
    {"Which consumer is not served?": WHICH, "What they ask for": WHAT, "Who is let in": TOKEN},
    variables=[
        choice(
            "client",
            "Consumer",
            "By client_id.",
            'label_values(shoutback_shouts_total{job="shoutback",environment="$environment"}, client_id)',
            many=True,
        )
    ],
)
