"""Which software made a run: versions, and the git revision of sam-label where it is known.

The revision is that of the checkout that sam-label is imported from, or the one that pip recorded when it
installed from a repository. A wheel of a release has none, since its version says the same. The job file's
own revision is not recorded, since the record holds the values of all options.
"""

import json
import platform
import shutil
import subprocess
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError, version
from pathlib import Path

from sam_core import __version__

PACKAGES = ("ray", "torch", "numpy", "pyarrow", "pillow", "fsspec", "s3fs", "pydantic")
CHECKOUT = Path(__file__).parents[2]
GIT_S = 10.0  # milliseconds, except on a slow network disk


@cache
def made_with() -> dict[str, str]:
    """Version by name, of this process; `revision` if it is known, with `-dirty` if files are changed."""
    versions = {"sam_label": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue  # an optional package, or one unpacked by hand
    revision = _of_checkout(CHECKOUT) or _of_installation()
    return {**versions, "revision": revision} if revision else versions


def _of_checkout(root: Path) -> str | None:
    """The commit of a checkout, if `root` is its top: packages may lie inside another project's."""
    git = shutil.which("git")
    if git is None or not (root / ".git").exists():
        return None
    command = [git, "-C", str(root), "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=GIT_S, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None


def _of_installation() -> str | None:
    """The commit that pip recorded, by PEP 610."""
    try:
        noted = Distribution.from_name("sam-label").read_text("direct_url.json")
        return str(json.loads(noted or "{}")["vcs_info"]["commit_id"])
    except (PackageNotFoundError, KeyError, ValueError):
        return None
