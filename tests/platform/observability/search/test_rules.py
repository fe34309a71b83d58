"""Each rule fires in the hour of its fault and in no other, and names the remedy."""

import json
import re
from datetime import datetime, timedelta

import kibana
import pytest
import traffic
from filebeat import Filebeat

RULES = kibana.rules()
STREAM = "logs-shoutback.log-faults"
NOW = datetime.now().astimezone()

REQUEST = {"event.action": "request", "http.response.status_code": 503, "error.type": "upstream-unavailable"}
SERVED = {"event.action": "request", "http.response.status_code": 200}
# The lines of an hour with one fault, by the name of its rule; events without a rule have another name.
FAULTS = {
    "ShoutbackLogServerErrors": [REQUEST] * 30 + [SERVED] * 1000,
    "ShoutbackLogBreakerOpened": [{"event.action": "breaker", "shoutback.breaker.to": "open"}],
    "ShoutbackLogKeyRefreshFailing": [{"event.action": "key-refresh", "event.outcome": "failure"}] * 3,
    "ShoutbackLogPanic": [{"event.action": "panic", "log.origin.file.name": "src/shout.rs"}],
    "ShoutbackLogCutOff": [{"event.action": "stop", "shoutback.stop.cut_off": 1}],
    "ShoutbackLogRedacted": [{"message": f"Bearer {traffic.SECRETS[1]}"}],
    "ShoutbackLogUnreadable": [{"http": "a plain value"}],
    "ShoutbackLogSilent": [],
    "a few failures": [REQUEST] * 20 + [{"event.action": "key-refresh", "event.outcome": "failure"}] * 2,
    "as many failures of a larger number": [REQUEST] * 30 + [SERVED] * 2000,
    "a breaker that closes": [{"event.action": "breaker", "shoutback.breaker.to": "closed"}],
    "a stop": [{"event.action": "stop"}, {"event.action": "stop", "shoutback.stop.cut_off": 0}],
}
HOURS = {name: NOW - timedelta(hours=3 * number) for number, name in enumerate(FAULTS, 2)}


@pytest.fixture(scope="module")
def faults(opensearch, tmp_path_factory):
    files = traffic.Files(tmp_path_factory.mktemp("faults"), "faults")
    lines = [{"@timestamp": HOURS[name].isoformat(), "message": "text"} | line for name in FAULTS for line in FAULTS[name]]
    (files.directory / "shoutback.log").write_text("".join(json.dumps(line) + "\n" for line in lines))
    filebeat = Filebeat(files.directory, "faults")
    assert filebeat.output["index"] == STREAM
    body = [part for event in filebeat.events() for part in ({"create": {"_index": STREAM}}, event)]
    response = opensearch.call("POST", "/_bulk?refresh=true", body)
    assert len(response["items"]) == len(lines) and not response["errors"]
    yield opensearch
    opensearch.call("DELETE", f"/_data_stream/{STREAM}")


def test_every_rule_has_a_fault():
    assert set(RULES) == {name for name in FAULTS if name.startswith("Shoutback")}


@pytest.mark.parametrize("name", RULES)
def test_a_rule_fires_only_for_its_fault(faults, name):
    fired = set()
    for hour, begin in HOURS.items():
        now = int((begin + timedelta(minutes=2)).timestamp() * 1000)
        counts = {}
        for letter, query in kibana.rule_queries(RULES[name], now).items():
            response = faults.call("POST", f"/{STREAM}/_search", {"size": 0, "track_total_hits": True, "query": query})
            counts[letter] = response["hits"]["total"]["value"]
        if kibana.fires(RULES[name], counts):
            fired.add(hour)
    assert fired == {name}


def test_every_rule_names_the_remedy():
    rows = re.findall(r"^\| `(ShoutbackLog\w+)` \|([^|]+)\|([^|]+)\|$", (kibana.SHIPPED / "README.md").read_text(), re.M)
    assert {name for name, _, _ in rows} == set(RULES) and len(rows) == len(RULES)
    assert all(len(what.split()) > 5 for _, _, what in rows)
