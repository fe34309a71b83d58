"""The commit statuses by which Argo CD reports what runs, on GitHub."""

import json
import os
import urllib.error
import urllib.request

from common import Failure, log
from deployments import PLATFORM

NEEDED = ("GITHUB_API_URL", "GITHUB_REPOSITORY", "GITHUB_TOKEN")

# Permanent errors, which are not retried: a wrong token, repository or commit.
FINAL = (400, 401, 404, 422)


def context_of(environment, lifecycle):
    return f"argocd/{environment}" + ("/platform" if lifecycle is PLATFORM else "")


def newest(context, commits):
    """Returns the newest status of that context, or None."""
    found = [status for commit in commits for status in statuses(commit) if status["context"] == context]
    # Of two statuses in the same second, prefers that of the later commit: `max` returns the first.
    return max(reversed(found), key=lambda status: status["created_at"], default=None)


def statuses(commit):
    """Returns the last status of each context."""
    api, repository = (os.environ[name] for name in ("GITHUB_API_URL", "GITHUB_REPOSITORY"))
    headers = {"authorization": f"Bearer {os.environ['GITHUB_TOKEN']}", "accept": "application/vnd.github+json"}
    url = f"{api}/repos/{repository}/commits/{commit}/status?per_page=100"
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as response:
            return json.load(response)["statuses"]
    except urllib.error.HTTPError as error:
        if error.code in FINAL:
            raise Failure(f"{url} failed, it responded with {error.code}: {error.read(500).decode(errors='replace')}") from None
        log(f"{url} responded with {error.code}; retrying")
    except (OSError, ValueError) as error:
        log(f"{url}: {error}; retrying")
    return []


def described(status):
    if not status:
        return "no status yet"
    return ", ".join(status[part] for part in ("state", "description", "target_url") if status.get(part))
