"""An emulation of Filebeat with the shipped filebeat.yml, by its documentation: no package registry has Filebeat."""

import glob
import json
import re
from datetime import datetime
from pathlib import Path

import yaml

SHIPPED = Path("observability/filebeat/filebeat.yml")


REQUIRED = {
    "ELASTICSEARCH_HOSTS": "http://127.0.0.1:9200",
    "ELASTICSEARCH_API_KEY": "id:key",
    "ELASTICSEARCH_CA_FILE": "/ca.pem",
    "POD_NAMESPACE": "shoutback",
    "POD_NAME": "shoutback-0",
    "NODE_NAME": "node-1",
}


def configuration(**variables):
    """Returns filebeat.yml as Filebeat reads it: with `${NAME:default}` from the environment, and dotted names nested."""

    def value(match):
        name, default = match.group(1), match.group(2)
        if name in variables or name in REQUIRED:
            return (REQUIRED | variables)[name]
        assert default is not None, f"{name} must be set"
        return default

    return nested(yaml.safe_load(re.sub(r"\$\{(\w+)(?::([^}]*))?\}", value, SHIPPED.read_text())))


def nested(value):
    if isinstance(value, list):
        return [nested(item) for item in value]
    if not isinstance(value, dict):
        return value
    result = {}
    for name, item in value.items():
        first, *rest = name.split(".")
        item = nested(item)
        for part in reversed(rest):
            item = {part: item}
        update(result, {first: item})
    return result


def update(into, values):
    """Merges deeply; new values win."""
    for name, value in values.items():
        if isinstance(value, dict) and isinstance(into.get(name), dict):
            update(into[name], value)
        else:
            into[name] = value


class Conflict(Exception):
    pass


def expanded(values):
    """Implements `expand_keys`: dotted names become objects. A name that is both an object and a value is an error."""
    result = {}
    for name, value in values.items():
        if isinstance(value, dict):
            value = expanded(value)
        *path, last = name.split(".")
        target = result
        for part in path:
            target = target.setdefault(part, {})
            if not isinstance(target, dict):
                raise Conflict(f'cannot expand "{name}": found conflicting key')
        if isinstance(target.get(last), dict) and isinstance(value, dict):
            update(target[last], value)
        elif last in target:
            raise Conflict(f'cannot expand "{name}": found existing value')
        else:
            target[last] = value
    return result


class Filebeat:
    """Reads the current files, without following them."""

    def __init__(self, directory, namespace):
        configured = configuration(LOG_DIRECTORY=str(directory), DATA_STREAM_NAMESPACE=namespace)
        [self.input] = configured["filebeat"]["inputs"]
        self.output = configured["output"]["elasticsearch"]
        self.processors = [processor for each in configured.get("processors", []) for processor in each.items()]
        [parser] = self.input["parsers"]
        self.ndjson = parser["ndjson"]
        # Only these settings are emulated.
        assert self.ndjson["target"] == "" and self.ndjson["expand_keys"] and self.ndjson["overwrite_keys"]

    def files(self):
        return sorted({Path(path) for pattern in self.input["paths"] for path in glob.glob(pattern)})

    def fingerprint(self, file):
        settings = self.input["prospector"]["scanner"]["fingerprint"]
        start = file.read_bytes()[settings["offset"] :][: settings["length"]]
        return start if len(start) == settings["length"] else None

    def events(self):
        events = []
        for file in self.files():
            if self.fingerprint(file) is None:
                continue
            offset = 0
            for line in file.read_bytes().splitlines(keepends=True):
                if line.strip():
                    event = self.event(line.rstrip(b"\n").decode(errors="replace"), file, offset)
                    events.append(self.processed(event))
                offset += len(line)
        return events

    def processed(self, event):
        """Returns the event after the parser and the configured `processors`."""
        for name, options in self.processors:
            assert name == "add_fields", f"the emulation does not support {name}"
            update(event, {options["target"]: options["fields"]})
        if not self.input.get("publisher_pipeline", {}).get("disable_host"):
            update(event, {"host": {"name": "host"}})
        return event

    def event(self, line, file, offset):
        now = datetime.now().astimezone().isoformat()
        event = {
            "@timestamp": now,
            "agent": {"type": "filebeat", "version": "9.0.0", "id": "0", "ephemeral_id": "0", "name": "host"},
            "ecs": {"version": "8.0.0"},
            "input": {"type": "filestream"},
            "log": {"offset": offset, "file": {"path": str(file), "fingerprint": "0"}},
        }
        try:
            values = json.loads(line)
            if not isinstance(values, dict):
                raise ValueError("not an object")
        except ValueError as error:
            event["message"] = line
            self.fail(event, f"Error decoding JSON: {error}")
            return event
        try:
            values = expanded(values)
        except Conflict as error:
            self.fail(event, str(error))
            return event
        stamp = values.pop("@timestamp", None)
        try:
            if stamp is not None:
                datetime.fromisoformat(stamp)
                event["@timestamp"] = stamp
        except (TypeError, ValueError):
            self.fail(event, f"@timestamp not overwritten (parse error on {stamp})")
        values.pop("@metadata", None)
        update(event, values)
        return event

    def fail(self, event, message):
        if self.ndjson["add_error_key"]:
            event["error"] = {"message": message, "type": "json"}
