"""From a figure to the requests behind it: log lines in Kibana, traces in the trace back end. No other file knows their URLs."""

from urllib.parse import quote

# What Grafana fills in must reach it as it stands.
MACROS = "${}_.:"

# The data view among the objects of ../../kibana.
DATA_VIEW = "shoutback-log"


def discover(query, environment=True):
    """Kibana's Discover in the dashboard's time range. `query` is KQL and may hold Grafana's variables, but no apostrophe."""
    if environment:
        query += ' and service.environment:"${environment}"'
    time = "(time:(from:'${__from:date:iso}',to:'${__to:date:iso}'))"
    state = f"(dataSource:(dataViewId:{DATA_VIEW},type:dataView),query:(language:kuery,query:'{quote(query, MACROS)}'))"
    return f"${{kibana}}/app/discover#/?_g={time}&_a={state}"


def traces(**tags):
    """Jaeger's search in the dashboard's time range, which it wants in microseconds. `tags` are attributes, `__` for a dot."""
    wanted = ",".join(f'"{name.replace("__", ".")}":"{value}"' for name, value in tags.items())
    search = "${traces}/search?service=shoutback&start=${__from}000&end=${__to}000"
    return search + (f"&tags={quote(f'{{{wanted}}}', MACROS)}" if tags else "")


def trace(identifier):
    return f"${{traces}}/trace/{identifier}"


def of_problem():
    """Of a series with the label error_type."""
    problem = "${__field.labels.error_type}"
    return [
        ("These requests in Kibana", discover(f'event.action:"request" and error.type:"{problem}"')),
        ("Traces of these requests", traces(error__type=problem)),
    ]


def of_outcome():
    """Of a series with the labels client_id and outcome."""
    client, outcome = "${__field.labels.client_id}", "${__field.labels.outcome}"
    return [
        ("These requests in Kibana", discover(f'event.action:"request" and client.user.id:"{client}" and error.type:"{outcome}"')),
        ("Traces of these requests", traces(shoutback__client__id=client, error__type=outcome)),
    ]


def of_client(client="${__field.labels.client_id}"):
    failures = f'event.action:"request" and client.user.id:"{client}" and event.outcome:"failure"'
    return [
        ("This consumer's failures in Kibana", discover(failures)),
        ("This consumer's requests in Kibana", discover(f'event.action:"request" and client.user.id:"{client}"')),
        ("This consumer's traces", traces(shoutback__client__id=client)),
    ]


def of_breaker():
    return [("What the breaker did, in Kibana", discover('event.action:"breaker"'))]
