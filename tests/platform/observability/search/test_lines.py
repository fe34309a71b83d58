"""Log lines in Filebeat and the index: settings, types, and lines that cannot be parsed."""

import fnmatch
import json
import re
import subprocess
from pathlib import Path

import pytest
from conftest import PIPELINE, of_service, processed
from filebeat import Filebeat, configuration, nested

OPTIONS = Path(__file__).with_name("filebeat-options")
# Fields from Filebeat and the pipeline, not from the service.
ADDED = {"agent", "kubernetes", "input", "tags", "log.file", "log.offset", "event.ingested", "event.original"}


def leaves(properties, prefix=""):
    for name, field in properties.items():
        if "properties" in field:
            yield from leaves(field["properties"], f"{prefix}{name}.")
        else:
            yield prefix + name, field["type"]


@pytest.fixture(scope="session")
def mapped(index):
    """Returns the type of every field in the index."""
    [stream] = [stream for stream in index.streams if stream.endswith("-healthy")]
    [mapping] = index.opensearch.call("GET", f"/{stream}/_mapping").values()
    assert mapping["mappings"]["dynamic"] == "false"
    return dict(leaves(mapping["mappings"]["properties"]))


KINDS = {"long": int, "keyword": str, "match_only_text": str, "text": str, "date": str}


def test_every_field_of_a_line_is_mapped_to_its_type(index, mapped):
    for number, event in of_service(index).items():
        for field, value in event.items():
            assert field in mapped, f"{field} of {number} is not in mappings.json"
            for item in value if isinstance(value, list) else [value]:
                assert type(item) is KINDS[mapped[field]], f"{field}: {item!r} is not a {mapped[field]}"


def test_the_mapped_fields_are_the_documented_ones(mapped):
    rows = re.findall(r"^\| `([\w@.]+)` \| (string|integer|list) \|", Path("docs/logging.md").read_text(), re.M)
    assert len(rows) > 30
    documented = dict(rows)
    for field, kind in documented.items():
        assert mapped.get(field) in {"string": ["keyword", "match_only_text", "text", "date"], "integer": ["long"], "list": ["keyword"]}[kind], field
    for field in mapped:
        assert field in documented or any(field == name or field.startswith(f"{name}.") for name in ADDED), f"{field} is not documented"


def test_a_line_has_its_pod(index):
    """But no host, because Filebeat's would be the pod again."""
    for number in index.sent:
        source = index.source(number) if number.endswith("0") else index.sent[number]
        origin = {name: value for name, value in source.items() if name.startswith(("kubernetes.", "host"))}
        assert origin == {"kubernetes.namespace": "shoutback", "kubernetes.pod.name": "shoutback-0", "kubernetes.node.name": "node-1"}


def test_no_field_of_a_real_line_is_ignored(index):
    assert index.ids({"exists": {"field": "_ignored"}}) == {
        number for number, event in index.sent.items() if event.get("message") == "wrong types"
    }


def test_every_line_arrives_once(index, healthy, ailing):
    """Including those of rotated files; compared with stdout."""
    assert {path.name for path in healthy.directory.iterdir()} >= {"shoutback.log", "shoutback.log.1"}
    for files in [healthy, *ailing]:
        filebeat = Filebeat(files.directory, "any")
        assert filebeat.files() == sorted(files.directory.iterdir())
        prints = [filebeat.fingerprint(file) for file in filebeat.files()]
        assert None not in prints and len(set(prints)) == len(prints)
        arrived = index.search(query={"prefix": {"log.file.path": str(files.directory)}})["hits"]["total"]["value"]
        assert arrived == len(files.lines()) > 0


def test_the_pattern_matches_all_names_of_rotated_files(tmp_path):
    names = ["shoutback.log", *(f"shoutback.log.{age}" for age in range(1, 4))]
    for name in [*names, "shoutback.log.gz", "other.log", "shoutback.log.1.swp"]:
        (tmp_path / name).touch()
    assert [path.name for path in Filebeat(tmp_path, "any").files()] == names


def test_the_service_wrote_lines_of_every_kind(index):
    """Otherwise the other tests would cover little."""
    kinds = {(event.get("event.action"), event.get("error.type")) for event in of_service(index).values()}
    problems = """malformed-request unauthenticated forbidden not-found method-not-allowed not-acceptable request-timeout
        content-too-large unsupported-media-type expectation-failed rate-limited upstream-invalid upstream-unavailable upstream-timeout
        cancelled"""
    for problem in problems.split():
        assert ("request", problem) in kinds
    assert {"start", "stop", "breaker", "key-refresh"} <= {action for action, _ in kinds}
    assert {"upstream", "cache", "none"} <= {event.get("shoutback.source") for event in of_service(index).values()}


def test_an_unreadable_line_is_stored(index):
    broken = {number: event for number, event in index.sent.items() if event.get("error.type") == "json"}
    assert len(broken) == 4
    for number, event in broken.items():
        source = index.source(number)
        assert source["event.kind"] == "pipeline_error"
        assert source["error.message"] == event["error.message"]
        assert source["event.dataset"] == "shoutback.log" and source["event.ingested"]
        if "message" in event and "torn" not in event["message"]:
            assert source["event.original"] == event["message"]
    other = {number for number, event in index.sent.items() if "of another shape" in str(event)}
    assert index.ids({"match": {"event.kind": "pipeline_error"}}) == set(broken) | other


def mapping():
    """Returns the names of the fields and of the objects in mappings.json."""
    template = json.loads(Path("observability/elasticsearch/mappings.json").read_text())["template"]
    fields = {name for name, _ in leaves(template["mappings"]["properties"])}
    return fields, {name[: dot.start()] for name in fields for dot in re.finditer(r"\.", name)}


def test_the_pipeline_handles_types_that_the_index_would_reject():
    [names] = [each["script"]["params"] for each in PIPELINE["processors"] if "params" in each.get("script", {})]
    fields, objects = mapping()
    assert names == {"fields": sorted(fields - {"@timestamp"}), "objects": sorted(objects)}


# Plain values of these names may be a secret, and are removed.
REMOVED = {"client.user", "http.request.body", "http.response.body"}


@pytest.mark.parametrize("name", sorted(mapping()[1] - REMOVED))
def test_a_plain_value_instead_of_an_object_loses_no_line(opensearch, name):
    document = nested({"message": "text", name: "a plain value"})
    result = processed(opensearch, document)
    assert result["event.original"] == f"{name}: a plain value" and result["message"] == "text"
    assert result["error.message"] == f"{name} is no object"
    assert result["event.kind"] == "pipeline_error" and result["error.type"] == "pipeline"
    # The enclosing object may remain, empty.
    assert {field for field, value in result.items() if value != {}} == ADDED_TO_BAD | {"message"}


@pytest.mark.parametrize("name", ["message", "event.duration", "event.action", "error.type", "tags"])
@pytest.mark.parametrize("value", [{"an": "object"}, [["text", {"an": "object"}]]])
def test_an_object_instead_of_a_plain_value_loses_no_line(opensearch, name, value):
    result = processed(opensearch, nested({"service.name": "shoutback", name: value}))
    assert result["event.original"].startswith(f"{name}: ") and "object" in result["event.original"]
    assert result["error.message"] == f"{name} is no plain value"
    assert result["message"] == "a line that cannot be read"
    assert set(result) == ADDED_TO_BAD | {"message", "service.name"}


ADDED_TO_BAD = {"error.message", "error.type", "event.dataset", "event.ingested", "event.kind", "event.original"}


def test_lines_with_wrong_types_are_stored(index):
    """In the index, which would reject them unchanged."""
    stored = [index.source(number) for number, event in index.sent.items() if "of another shape" in str(event)]
    assert len(stored) == 4
    assert {source["event.kind"] for source in stored} == {"pipeline_error"}
    assert all("of another shape" in source["event.original"] for source in stored)


def options(value, prefix=""):
    for name, item in value.items():
        # The added fields follow our naming.
        if isinstance(item, dict) and name != "fields":
            yield from options(item, f"{prefix}{name}.")
        elif isinstance(item, list) and item and isinstance(item[0], dict):
            for each in item:
                yield from options(each, f"{prefix}{name}.")
        else:
            yield prefix + name


def test_every_option_is_one_of_filebeats():
    """According to its documentation."""
    documented_options = dict(line.split() for line in OPTIONS.read_text().splitlines() if line and not line.startswith("#"))
    used = set(options(configuration()))
    assert used == set(documented_options)


def test_filebeat_and_the_service_agree_on_limits():
    source = Path("src/telemetry/log.rs").read_text()
    [longest] = re.findall(r"const MAX_LINE: usize = (\d+) << 10;", source)
    [files] = re.findall(r"const FILES: u32 = (\d+);", Path("src/telemetry/log/file.rs").read_text())
    [settings] = configuration()["filebeat"]["inputs"]
    assert settings["message_max_bytes"] >= int(longest) << 10
    assert int(files) - 1 <= 9


RETENTION = {"production": "30d", "staging": "7d"}
SEARCH = Path("observability/elasticsearch")


def shipped(name):
    return json.loads((SEARCH / f"{name}.json").read_text())


@pytest.mark.parametrize("environment", RETENTION)
def test_retention_is_that_of_the_environment(environment):
    """OpenSearch supports neither these policies nor the index mode, so this only checks the names and the files."""
    loaded = dict(re.findall(r"^ *put (_\S+) <(\S+)\.json$", (SEARCH / "load").read_text(), re.M))
    templates = [shipped(file) for path, file in loaded.items() if path.startswith("_index_template/")]
    stream = f"logs-shoutback.log-{environment}"
    chosen = max((each for each in templates if fnmatch.fnmatch(stream, each["index_patterns"][0])), key=lambda each: each["priority"])
    # Elasticsearch's built-in template for logs-*-* has 100.
    assert chosen["priority"] > 100
    components = [shipped(loaded[f"_component_template/{name}"])["template"] for name in chosen["composed_of"]]
    [policy] = [name for each in components if (name := each.get("settings", {}).get("index.lifecycle.name"))]
    # Without it, Elasticsearch 9 would use `logsdb`, which is not tested.
    assert [mode for each in components if (mode := each.get("settings", {}).get("index.mode"))] == ["standard"]
    phases = shipped(loaded[f"_ilm/policy/{policy}"])["policy"]["phases"]
    assert set(phases) <= {"hot", "warm", "delete"} and "rollover" in phases["hot"]["actions"]
    assert phases["delete"] == {"min_age": RETENTION[environment], "actions": {"delete": {}}}


def test_environments_have_no_other_difference(opensearch):
    """In the templates that the index selects."""
    responses = [opensearch.call("POST", f"/_index_template/_simulate_index/logs-shoutback.log-{each}") for each in RETENTION]
    assert responses[0]["template"] == responses[1]["template"]
    assert responses[0]["template"]["settings"]["index"]["final_pipeline"] == "shoutback-log"


def test_scripts_are_valid_shell(tmp_path):
    for script in ["observability/elasticsearch/load", "observability/kibana/load"]:
        subprocess.run(["sh", "-n", script], check=True)
