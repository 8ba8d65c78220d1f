"""Finds secrets, which must not stand in a job file: many people can read a file that is copied or committed.

A secret is recognized by its form, or by the name of its option. A message names the line and the kind, never
the value.
"""

import re
from collections.abc import Iterator

from pipeline.errors import UsageError
from pipeline.store.uri import has_secret

_FORMS = {
    "an AWS key id": re.compile(r"\b(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{16}\b"),
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY"),
    "a token": re.compile(
        r"""\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{20,}|hf_[A-Za-z0-9]{30,}
        |xox[abprs]-[\w-]{10,}|sk-[A-Za-z0-9_-]{32,}|AIza[\w-]{35}|ya29\.[\w-]{20,}|dapi[a-f0-9]{32}
        |npm_[A-Za-z0-9]{36}|pypi-[\w-]{50,}|eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]+)""",
        re.VERBOSE,
    ),
    "a webhook's URL": re.compile(
        r"https://(?:hooks\.slack\.com/services|discord(?:app)?\.com/api/webhooks"
        r"|[\w.-]+\.webhook\.office\.com)/"
    ),
}
_NAMED = re.compile(
    r"""^[\s\#]*(?:[\w."'-]*[._"'-])?
    (?:password|passwd|passphrase|secret|token|credentials?|(?:api|access|private|account|secret)[_-]?key
    |key[_-]?id)
    (?:[._-]\w+)*["']?\s*=\s*(?P<value>\S.*)$""",
    re.IGNORECASE | re.VERBOSE,
)
# `secret = ""` hides nothing, `token = true` says nothing.
_HARMLESS = re.compile(r"""(?:""|''|true|false|\d+)\s*(?:\#.*)?""")


def refuse_secrets(name: str, text: str) -> None:
    """Raises UsageError for the first line of the job file `name` that holds what looks like a secret."""
    for number, kind in _findings(text):
        raise UsageError(
            f"line {number} of {name} contains what looks like {kind}: remove it, and give it in the "
            "environment (AWS_ACCESS_KEY_ID; SAM_LABEL_CHECKPOINT or SAM_LABEL_WEBHOOK for a URL), a profile "
            "or a role"
        )


def kind_of_secret(text: str) -> str | None:
    """What kind of secret a text looks like, if any."""
    for kind, form in _FORMS.items():
        if form.search(text):
            return kind
    return "a URL with credentials" if has_secret(text) else None


def _findings(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        named = _NAMED.match(line)
        if kind := kind_of_secret(line):
            yield number, kind
        elif named and not _HARMLESS.fullmatch(named["value"]):
            yield number, "a secret by its name"
