"""Links from a panel to its requests: log lines in Kibana, each of which has its trace id. Only this file has their URLs."""

from urllib.parse import quote

# Grafana's macros must not be URL-encoded.
MACROS = "${}_.:"

# The data view of ../../kibana.
DATA_VIEW = "shoutback-log"


def discover(query, environment=True):
    """Returns the URL of Kibana's Discover in the dashboard's time range. `query` is KQL with Grafana's variables, without apostrophes."""
    if environment:
        query += ' and service.environment:"${environment}"'
    time = "(time:(from:'${__from:date:iso}',to:'${__to:date:iso}'))"
    state = f"(dataSource:(dataViewId:{DATA_VIEW},type:dataView),query:(language:kuery,query:'{quote(query, MACROS)}'))"
    return f"${{kibana}}/app/discover#/?_g={time}&_a={state}"


def trace(identifier):
    """Returns the URL of one trace: back ends agree on nothing but that its id ends the URL."""
    return f"${{traces}}/{identifier}"


def of_problem():
    """Returns the links of a series with the label error_type."""
    problem = "${__field.labels.error_type}"
    return [
        ("These requests in Kibana", discover(f'event.action:"request" and error.type:"{problem}"')),
    ]


def of_outcome():
    """Returns the links of a series with the labels client_id and outcome."""
    client, outcome = "${__field.labels.client_id}", "${__field.labels.outcome}"
    return [
        ("These requests in Kibana", discover(f'event.action:"request" and client.user.id:"{client}" and error.type:"{outcome}"')),
    ]


def of_client(client="${__field.labels.client_id}"):
    failures = f'event.action:"request" and client.user.id:"{client}" and event.outcome:"failure"'
    return [
        ("Failures of this client in Kibana", discover(failures)),
        ("Requests of this client in Kibana", discover(f'event.action:"request" and client.user.id:"{client}"')),
    ]


def of_breaker():
    return [("Breaker changes in Kibana", discover('event.action:"breaker"'))]
