"""A fake of GitHub's REST API for commit statuses."""

import http.server
import itertools
import json
import re
import threading
from datetime import datetime, timedelta, timezone

REPOSITORY = "example/shoutback"
TOKEN = "ghs_test"

# Of the App by which Argo CD reports.
ARGO_CD, ARGO_CD_TOKEN = "shoutback-argocd[bot]", "ghs_argocd"

CREATORS = {TOKEN: "github-actions[bot]", ARGO_CD_TOKEN: ARGO_CD}

# Items per page, of which GitHub has at most 100.
PAGE = 100


def creator(headers):
    """Returns who sends a request, or None. Argo CD's notifications use GitHub's older scheme."""
    return CREATORS.get(re.sub("^(Bearer|token) ", "", headers["authorization"] or ""))


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
            "ARGO_CD_APP_LOGIN": ARGO_CD,
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
        if creator(headers) is None:
            return 401, {"message": "Bad credentials"}
        return None

    def _read(self, path, headers):
        found = re.fullmatch(rf"/repos/{REPOSITORY}/commits/([0-9a-f]{{40}})/statuses\?per_page={PAGE}&page=(\d+)", path)
        if rejection := self._rejection(headers):
            return rejection
        if not found:
            return 404, {"message": "Not Found"}
        self.requested.append(found[1])
        # The newest first.
        return 200, self.statuses.get(found[1], [])[::-1][PAGE * (int(found[2]) - 1) : PAGE * int(found[2])]

    def _write(self, path, headers, body):
        # An App exchanges its key for a token; of GitHub Enterprise, whose address can be chosen, the paths have a prefix.
        if re.fullmatch(r"/api/v3/app/installations/\d+/access_tokens", path):
            return 201, {"token": ARGO_CD_TOKEN, "expires_at": "2099-01-01T00:00:00Z"}
        found = re.fullmatch(rf"(?:/api/v3)?/repos/{REPOSITORY}/statuses/([0-9a-f]{{40}})", path)
        if rejection := self._rejection(headers):
            return rejection
        if not found:
            return 404, {"message": "Not Found"}
        self.report(found[1], **{name: body[name] for name in ("context", "state", "description")}, creator=creator(headers))
        return 201, {}

    def report(self, commit, context, state, description="", creator=ARGO_CD):
        time = datetime(2026, 11, 23, tzinfo=timezone.utc) + timedelta(seconds=next(self.clock))
        status = {
            "context": context,
            "state": state,
            "description": description,
            "creator": {"login": creator, "type": "Bot" if "[bot]" in creator else "User"},
            "created_at": time.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        self.statuses.setdefault(commit, []).append(status)
