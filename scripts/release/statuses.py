"""The commit statuses by which Argo CD reports what runs, on GitHub."""

import functools
import os
import re

import api
import common
from common import Failure, log
from deployments import PLATFORM

# Permanent errors, which are not retried: a wrong token, repository or commit.
FINAL = (400, 401, 404, 422)

# GitHub's limit.
PER_PAGE = 100


def require_variables(arguments):
    """Requires the variables of this module."""
    common.needs(arguments, *api.NEEDED)
    login = os.environ.get("ARGO_CD_APP_LOGIN", "")
    # Every workflow of every branch reports as github-actions[bot].
    if not re.fullmatch(r"[a-z0-9-]+\[bot\]", login) or login == "github-actions[bot]":
        arguments.error(
            f"ARGO_CD_APP_LOGIN is {login!r}, not the login of the GitHub App by which Argo CD reports, such as NAME[bot]:"
            " docs/deploy.md, step 7; in workflows, the repository's variable of that name"
        )


def context_of(environment, lifecycle):
    return f"argocd/{environment}" + ("/platform" if lifecycle is PLATFORM else "")


def newest(context, commits):
    """Returns the newest status of that context that Argo CD has set, or None."""
    found = [status for commit in commits if (status := last(context, commit))]
    # Of two statuses in the same second, prefers that of the later commit: `max` returns the first.
    return max(reversed(found), key=lambda status: status["created_at"], default=None)


def last(context, commit):
    """Returns the last status that Argo CD's App has set. Others with `statuses: write` can set one of the same context, which is ignored."""
    for status in statuses(commit):
        if status["context"] == context:
            # Without a creator, if the account is deleted.
            creator = (status["creator"] or {}).get("login")
            if creator == os.environ["ARGO_CD_APP_LOGIN"]:
                return status
            warn(f"ignored: {context} of {commit[:12]} by {creator}, not by {os.environ['ARGO_CD_APP_LOGIN']}")
    return None


# Once, not in each poll.
warn = functools.cache(log)


def statuses(commit):
    """Yields all statuses of the commit, the newest first. The combined status, which is shorter, has no creators."""
    page, found = 1, [None] * PER_PAGE
    while len(found) == PER_PAGE:
        try:
            found = api.request("GET", f"commits/{commit}/statuses", per_page=PER_PAGE, page=page)
        except Failure as failure:
            if getattr(failure, "code", None) in FINAL:
                raise
            log(f"{failure}; retrying")
            return
        yield from found
        page += 1


def described(status):
    if not status:
        return "no status yet"
    return ", ".join(status[part] for part in ("state", "description", "target_url") if status.get(part))
