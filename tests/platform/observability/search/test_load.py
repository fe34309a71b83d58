"""observability/kibana/load against a stand-in that answers as Kibana's reference says."""

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
        self.rules, self.asked, self.imports = {}, [], True

    def __enter__(self):
        stand_in = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self):
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                stand_in.asked.append((self.command, self.path, dict(self.headers), body))
                status, text = stand_in.answer(self.command, self.path, body)
                text = json.dumps(text).replace(" ", "").encode()
                self.send_response(status)
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = do_PUT = answer

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def answer(self, method, path, body):
        if path == "/api/saved_objects/_import?overwrite=true":
            return 200, {"successCount": 1, "success": self.imports}
        rule = path.removeprefix("/api/alerting/rule/")
        if method == "GET":
            return (200, self.rules[rule]) if rule in self.rules else (404, {})
        wanted = json.loads(body)
        if method == "PUT" and (rule not in self.rules or CREATED_ONLY & set(wanted)):
            return 400, {}
        if method == "POST" and (rule in self.rules or not CREATED_ONLY <= set(wanted)):
            return 409, {}
        self.rules[rule] = self.rules.get(rule, {}) | wanted
        return 200, {}

    def load(self, **variables):
        """The exit code."""
        url = f"http://127.0.0.1:{self.server.server_port}"
        environment = {"PATH": os.environ["PATH"], "KIBANA_URL": url, "ELASTICSEARCH_API_KEY": "id:key"} | variables
        return subprocess.run([kibana.SHIPPED / "load"], env=environment, timeout=60).returncode


@pytest.fixture
def stand_in():
    with Kibana() as stand_in:
        yield stand_in


def test_everything_is_loaded(stand_in):
    assert stand_in.load() == 0
    assert {rule["name"]: rule for rule in stand_in.rules.values()} == kibana.rules()
    [(_, _, _, body)] = [asked for asked in stand_in.asked if "_import" in asked[1]]
    assert (kibana.SHIPPED / "saved-objects.ndjson").read_bytes() in body
    for _, _, headers, _ in stand_in.asked:
        assert headers["kbn-xsrf"] == "true"
        assert headers["Authorization"] == "ApiKey " + base64.b64encode(b"id:key").decode()


def test_a_rule_keeps_what_was_done_to_it(stand_in):
    assert stand_in.load() == 0
    for rule in stand_in.rules.values():
        rule["actions"] = ["somebody's"]
    assert stand_in.load() == 0
    assert all(rule["actions"] == ["somebody's"] for rule in stand_in.rules.values())
    assert stand_in.load(RULES="overwrite") == 0
    assert {rule["name"]: rule for rule in stand_in.rules.values()} == kibana.rules()


def test_an_import_that_took_nothing_fails(stand_in):
    stand_in.imports = False
    assert stand_in.load() != 0
    assert not stand_in.rules
