"""A client of GitHub's REST API, for the repository and with the token of a workflow's job."""

import json
import os
import sys
import urllib.error
import urllib.parse
import urllib.request

from common import Failure, log

NEEDED = ("GITHUB_API_URL", "GITHUB_REPOSITORY", "GITHUB_TOKEN")


class Rejected(Failure):
    """A response with an error, whose code is `code`."""

    def __init__(self, text, code):
        super().__init__(text)
        self.code = code


class NotFound(Rejected):
    """The object does not exist, or the token may not see it."""


def request(method, path, body=None, **query):
    """Returns the JSON of the response, or None if it is empty. `path` is relative to the repository, unless it begins with /."""
    if missing := [name for name in NEEDED if not os.environ.get(name)]:
        log(f"error: not set: {', '.join(missing)}")
        sys.exit(2)
    url = os.environ["GITHUB_API_URL"] + (path if path.startswith("/") else f"/repos/{os.environ['GITHUB_REPOSITORY']}/{path}")
    request = urllib.request.Request(
        f"{url}?{urllib.parse.urlencode(query)}" if query else url,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={
            "accept": "application/vnd.github+json",
            "authorization": f"Bearer {os.environ['GITHUB_TOKEN']}",
            "content-type": "application/json",
        },
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            text = response.read()
            return json.loads(text) if text else None
    except urllib.error.HTTPError as error:
        if error.code == 404 and method == "GET":
            raise NotFound(f"{method} {url}: there is none, or the token may not see it", 404) from None
        raise Rejected(f"{method} {url}: {error.code} {error.read(500).decode(errors='replace')}", error.code) from None
    except (OSError, ValueError) as error:
        raise Failure(f"{method} {url}: {error}") from None


def pages(path, **query):
    """Yields the items of all pages of the list at `path`."""
    page = 1
    while listed := request("GET", path, per_page=100, page=page, **query):
        yield from listed
        page += 1


# GitHub's limit for the body of a comment.
MAX_LENGTH = 65_536


def text(files):
    """Returns the concatenated files, truncated to the limit of a comment."""
    joined = "\n".join(file.read_text() for file in files)
    if len(joined) <= MAX_LENGTH - 1000:
        return joined
    # Closes a code fence that truncation may have left open.
    return f"{joined[: MAX_LENGTH - 1000]}\n```\n\nThe rest is in the run that wrote this.\n"
