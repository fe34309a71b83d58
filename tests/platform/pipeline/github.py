"""A fake of GitHub's REST API for commit statuses."""

import http.server
import itertools
import json
import re
import threading
from datetime import datetime, timedelta, timezone

REPOSITORY = "example/shoutback"
TOKEN = "ghs_test"


class GitHub:
    """A server in its own thread during the `with` block."""

    def __init__(self):
        # By commit, oldest first.
        self.statuses, self.requested = {}, []
        # Statuses of the responses to the next requests.
        self.faults = []
        # One status per second, because GitHub's times have no fractions.
        self.clock = itertools.count()
        github = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.respond(*github._read(self.path, self.headers))

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"] or 0)) or "{}")
                self.respond(*github._write(self.path, self.headers, body))

            def respond(self, status, document):
                body = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever)

    @property
    def variables(self):
        """Returns the environment of a workflow's job."""
        return {
            "GITHUB_API_URL": self.url,
            "GITHUB_SERVER_URL": "https://github.com",
            "GITHUB_REPOSITORY": REPOSITORY,
            "GITHUB_TOKEN": TOKEN,
        }

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def _rejection(self, headers):
        if self.faults:
            return self.faults.pop(0), {"message": "a fault of the test"}
        # Argo CD's notifications use GitHub's older scheme.
        if headers["authorization"] not in (f"Bearer {TOKEN}", f"token {TOKEN}"):
            return 401, {"message": "Bad credentials"}
        return None

    def _read(self, path, headers):
        found = re.fullmatch(rf"/repos/{REPOSITORY}/commits/([0-9a-f]{{40}})/status(?:\?per_page=100)?", path)
        if rejection := self._rejection(headers):
            return rejection
        if not found:
            return 404, {"message": "Not Found"}
        self.requested.append(found[1])
        # The last of each context.
        last = {status["context"]: status for status in self.statuses.get(found[1], [])}
        return 200, {"sha": found[1], "statuses": list(last.values())}

    def _write(self, path, headers, body):
        # An App exchanges its key for a token; of GitHub Enterprise, whose address can be chosen, the paths have a prefix.
        if re.fullmatch(r"/api/v3/app/installations/\d+/access_tokens", path):
            return 201, {"token": TOKEN, "expires_at": "2099-01-01T00:00:00Z"}
        found = re.fullmatch(rf"(?:/api/v3)?/repos/{REPOSITORY}/statuses/([0-9a-f]{{40}})", path)
        if rejection := self._rejection(headers):
            return rejection
        if not found:
            return 404, {"message": "Not Found"}
        self.report(found[1], **{name: body[name] for name in ("context", "state", "description")})
        return 201, {}

    def report(self, commit, context, state, description=""):
        time = datetime(2026, 11, 23, tzinfo=timezone.utc) + timedelta(seconds=next(self.clock))
        status = {
            "context": context,
            "state": state,
            "description": description,
            "created_at": time.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        self.statuses.setdefault(commit, []).append(status)
