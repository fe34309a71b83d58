"""observability/kibana/load with a fake that responds as documented in Kibana's reference."""

import base64
import http.server
import json
import os
import subprocess
import threading

import kibana
import pytest

CREATED_ONLY = {"consumer", "enabled", "rule_type_id"}


class Kibana:
    def __init__(self):
        self.rules, self.requests, self.imports = {}, [], True

    def __enter__(self):
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def handle_request(self):
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                fake.requests.append((self.command, self.path, dict(self.headers), body))
                status, text = fake.respond(self.command, self.path, body)
                text = json.dumps(text).replace(" ", "").encode()
                self.send_response(status)
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = do_PUT = handle_request

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def respond(self, method, path, body):
        if path == "/api/saved_objects/_import?overwrite=true":
            return 200, {"successCount": 1, "success": self.imports}
        rule = path.removeprefix("/api/alerting/rule/")
        if method == "GET":
            return (200, self.rules[rule]) if rule in self.rules else (404, {})
        attributes = json.loads(body)
        if method == "PUT" and (rule not in self.rules or CREATED_ONLY & set(attributes)):
            return 400, {}
        if method == "POST" and (rule in self.rules or not CREATED_ONLY <= set(attributes)):
            return 409, {}
        self.rules[rule] = self.rules.get(rule, {}) | attributes
        return 200, {}

    def load(self, **variables):
        """Runs the script and returns its exit code."""
        url = f"http://127.0.0.1:{self.server.server_port}"
        environment = {"PATH": os.environ["PATH"], "KIBANA_URL": url, "ELASTICSEARCH_API_KEY": "id:key"} | variables
        return subprocess.run([kibana.SHIPPED / "load"], env=environment, timeout=60).returncode


@pytest.fixture
def fake():
    with Kibana() as fake:
        yield fake


def test_everything_is_loaded(fake):
    assert fake.load() == 0
    assert {rule["name"]: rule for rule in fake.rules.values()} == kibana.rules()
    [(_, _, _, body)] = [request for request in fake.requests if "_import" in request[1]]
    assert (kibana.SHIPPED / "saved-objects.ndjson").read_bytes() in body
    for _, _, headers, _ in fake.requests:
        assert headers["kbn-xsrf"] == "true"
        assert headers["Authorization"] == "ApiKey " + base64.b64encode(b"id:key").decode()


def test_a_rule_preserves_changes_by_users(fake):
    assert fake.load() == 0
    for rule in fake.rules.values():
        rule["actions"] = ["somebody's"]
    assert fake.load() == 0
    assert all(rule["actions"] == ["somebody's"] for rule in fake.rules.values())
    assert fake.load(RULES="overwrite") == 0
    assert {rule["name"]: rule for rule in fake.rules.values()} == kibana.rules()


def test_a_rule_is_enabled_only_with_an_action(fake, tmp_path):
    """Without an action it would look like an alert, and notify no person."""
    assert fake.load() == 0
    assert {(rule["enabled"], len(rule["actions"])) for rule in fake.rules.values()} == {(False, 0)}
    fake.rules.clear()
    action = {"id": "connector", "group": "query matched", "params": {"message": "a & b | c \\ {{context.message}}"}}
    (tmp_path / "actions.json").write_text(json.dumps([action], indent=1))
    assert fake.load(KIBANA_ACTIONS_FILE=str(tmp_path / "actions.json")) == 0
    groups = {".es-query": "query matched", "observability.rules.custom_threshold": "custom_threshold.fired"}
    for rule in fake.rules.values():
        assert rule["enabled"] and rule["actions"] == [action | {"group": groups[rule["rule_type_id"]]}]
    assert {rule["rule_type_id"] for rule in fake.rules.values()} == groups.keys()


def test_an_unsuccessful_import_fails(fake):
    fake.imports = False
    assert fake.load() != 0
    assert not fake.rules
