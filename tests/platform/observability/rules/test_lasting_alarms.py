"""CloudWatch's alarms that compare with the past last for hours of an outage, although they know neither recorded series nor ALERTS."""

import json
import subprocess

import pytest
import yaml
from shipped import OBSERVABILITY

ALARMS = OBSERVABILITY / "cloudwatch/alarms/service.yaml"
REQUESTS = 'http_server_request_duration_seconds{environment="e",pod="a",http_route="/v1"}'


def condition(name):
    [alarm] = [alarm for alarm in yaml.safe_load(ALARMS.read_text())["metric_alarms"] if alarm["AlarmName"].endswith(f"}}{name}")]
    criteria = alarm["EvaluationCriteria"]["PromQLCriteria"]
    return {"alert": "Alarm", "expr": criteria["Query"].replace("${environment}", "e"), "for": f"{criteria['PendingPeriod']}s"}


def histogram(count):
    return f"{{{{schema:0 count:{count:g} sum:{count:g} buckets:[{count:g}]}}}}"


def requests(*parts):
    """Returns the values of a native histogram, from pairs of minutes and requests per minute."""
    values, at = [], 0
    for minutes, growth in parts:
        values.append(f"{histogram(at)}+{histogram(growth)}x{minutes - 1}")
        at += minutes * growth
    return " ".join(values)


@pytest.fixture
def fires(tmp_path):
    """`fires(name, series, minute)` returns whether the alarm does in that minute."""

    def fires(name, series, minute):
        given = [{"series": key, "values": values} for key, values in series.items()]
        expected = {"expr": 'count(ALERTS{alertstate="firing"})', "eval_time": f"{minute}m", "exp_samples": []}
        (tmp_path / "rules.yaml").write_text(json.dumps({"groups": [{"name": "alarms", "rules": [condition(name)]}]}))
        test = {"interval": "1m", "input_series": given, "promql_expr_test": [expected]}
        (tmp_path / "test.yaml").write_text(json.dumps({"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": [test]}))
        done = subprocess.run(["promtool", "test", "rules", tmp_path / "test.yaml"], capture_output=True, text=True)
        output = done.stdout + done.stderr
        assert done.returncode == 0 or "got:" in output, output
        return done.returncode != 0

    return fires


@pytest.mark.parametrize("hours", [0.2, 1.1, 5, 8])
def test_an_outage_lasts(fires, hours):
    """At a tenth of a request per second, which is twice the bound."""
    assert fires("ShoutbackNoTraffic", {REQUESTS: requests((13 * 60, 6), (10 * 60, 0))}, 13 * 60 + int(60 * hours))


def test_traffic_ends_it(fires):
    assert not fires("ShoutbackNoTraffic", {REQUESTS: requests((13 * 60, 6), (60, 0), (60, 6))}, 14 * 60 + 20)


@pytest.mark.parametrize("hours", [0.2, 7, 14.2, 20])
def test_the_evening_and_the_weekend_after_working_days_are_no_outage(fires, hours):
    """Requests from 8 to 18 o'clock of Thursday and Friday; 14 hours later it is eight o'clock of Saturday."""
    day, night = 10 * 60, 14 * 60
    series = {REQUESTS: requests((day, 60), (night, 0), (day, 60), (24 * 60, 0))}
    assert not fires("ShoutbackNoTraffic", series, day + night + day + int(60 * hours))


@pytest.mark.parametrize("hours", [0.1, 1.1, 12])
def test_no_replica_is_there_for_long(fires, hours):
    assert fires("ShoutbackReplicaDown-page", {'up{environment="e",pod="a"}': "1x60 _x900"}, 60 + int(60 * hours) + 6)
