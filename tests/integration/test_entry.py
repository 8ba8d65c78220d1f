"""The installed command in a process whose surroundings are odd, as they are in daemons and containers."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

SAM_LABEL = str(Path(sys.executable).with_name("sam-label"))
Said = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """A folder that comes before the packages of this Python."""
    (tmp_path / "theirs").mkdir()
    return tmp_path / "theirs"


def before_ours(folder: Path) -> str:
    inherited = os.environ.get("PYTHONPATH", "")
    return f"{folder}{os.pathsep}{inherited}".rstrip(os.pathsep)


@pytest.fixture
def shell(tmp_path: Path) -> Said:
    """Runs a line of a shell, in which $S is the command, with some variables, in an empty folder."""

    def run(line: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        environment = {**os.environ, "S": SAM_LABEL, **variables}
        return subprocess.run(
            ["sh", "-c", line], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=100
        )

    return run


def test_closed_streams_are_no_fault(shell: Said, demo: str) -> None:
    done = shell(f"$S export {demo} out.json 2>&-")
    assert (done.returncode, done.stderr) == (0, "")
    assert "out.json" in done.stdout
    assert shell(f"$S export {demo} again.json >&- 2>&- <&-").returncode == 0


def test_names_do_not_depend_on_the_locale(shell: Said, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "é ü.jpg").write_bytes(b"x")
    names = [
        shell("$S plan photos --names taken", **locale).stdout
        for locale in ({}, {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"})
    ]
    assert names == [f"file://{tmp_path}/photos/é ü.jpg\n"] * 2


def test_another_package_of_our_names_is_refused(shell: Said, tmp_path: Path) -> None:
    (tmp_path / "theirs" / "pipeline").mkdir(parents=True)
    (tmp_path / "theirs" / "pipeline" / "__init__.py").touch()
    done = shell("$S status x", PYTHONPATH=str(tmp_path / "theirs"))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert f"PYTHONPATH has {tmp_path}/theirs, whose pipeline hides sam-label's own" in done.stderr
    (tmp_path / "theirs" / "pipeline" / "__init__.py").unlink()  # a folder that is no package hides nothing
    assert "holds no dataset" in shell("$S status x", PYTHONPATH=str(tmp_path / "theirs")).stderr


def test_ctrl_c_before_the_command_has_begun_says_nothing(shell: Said, theirs: Path) -> None:
    (theirs / "pydantic.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGINT)")
    done = shell("$S status x; echo $?", PYTHONPATH=before_ours(theirs))
    assert (done.stdout, done.stderr) == ("130\n", "")


@pytest.mark.parametrize(
    "message", ["libz.so: cannot open", "\n\nIMPORTANT: READ THIS\n\nlibz.so: cannot open\n"]
)
def test_a_package_that_the_command_itself_needs_may_be_broken(
    shell: Said, theirs: Path, message: str
) -> None:
    (theirs / "pydantic.py").write_text(f"raise ImportError({message!r})")
    done = shell("$S status x", PYTHONPATH=before_ours(theirs))
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "cannot be imported (libz.so: cannot open); install sam-label again" in done.stderr


def test_a_deleted_working_folder_matters_to_relative_paths_alone(shell: Said, demo: str) -> None:
    gone = "mkdir gone && cd gone && rmdir ../gone && "
    assert shell(f"{gone} $S status {demo}").returncode == 0
    done = shell(f"{gone} $S status masks")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "the working directory, which was deleted" in done.stderr


# As for a user that /etc/passwd does not name, and without HOME.
HOMELESS = """
import pathlib, sys
def home(cls):
    raise RuntimeError("Could not determine home directory.")
pathlib.Path.home = classmethod(home)
from jobs.entry import main
main()
"""


def test_a_user_without_a_home_has_no_downloads() -> None:
    caches = dict.fromkeys(("XDG_CACHE_HOME", "SAM_LABEL_CACHE"), "")

    def models(*words: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-c", HOMELESS, "models", *words]
        return subprocess.run(command, env=os.environ | caches, capture_output=True, text=True, timeout=100)

    assert "bundled" in models("list").stdout
    done = models("pull", "vit_b")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "set SAM_LABEL_CACHE to a folder" in done.stderr
