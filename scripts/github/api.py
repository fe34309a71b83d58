"""GitHub's REST API, as far as the programs beside this need it, for the repository and with the token that a workflow's job has."""

import json
import os
import sys
import urllib.error
import urllib.parse
import urllib.request

NEEDED = ("GITHUB_API_URL", "GITHUB_REPOSITORY", "GITHUB_TOKEN")


class Failure(Exception):
    """What went wrong, for a person."""


def log(text):
    print(text, file=sys.stderr, flush=True)


def run(main):
    try:
        main()
    except Failure as failure:
        log(f"error: {failure}")
        sys.exit(1)


def request(method, path, body=None, **query):
    """The answer's JSON; `path` is below the repository."""
    if missing := [name for name in NEEDED if not os.environ.get(name)]:
        log(f"error: not set: {', '.join(missing)}")
        sys.exit(2)
    url = f"{os.environ['GITHUB_API_URL']}/repos/{os.environ['GITHUB_REPOSITORY']}/{path}"
    asked = urllib.request.Request(
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
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise Failure(f"{method} {url}: {error.code} {error.read(500).decode(errors='replace')}") from None
    except (urllib.error.URLError, TimeoutError) as error:
        raise Failure(f"{method} {url}: {error}") from None


def pages(path, **query):
    """All that is listed at `path`."""
    page = 1
    while listed := request("GET", path, per_page=100, page=page, **query):
        yield from listed
        page += 1


# GitHub refuses longer ones.
LONGEST = 65_536


def text(files):
    """The files, one after the other, as far as a comment has room."""
    joined = "\n".join(file.read_text() for file in files)
    if len(joined) <= LONGEST - 1000:
        return joined
    # A fence that is open stays open to the end.
    return f"{joined[: LONGEST - 1000]}\n```\n\nThe rest is in the run that wrote this.\n"
