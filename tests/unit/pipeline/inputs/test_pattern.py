"""Braces against bash, globs against a slow matcher, and which files of a folder match a pattern."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from pipeline.errors import UsageError
from pipeline.inputs.braces import expanded, has_braces
from pipeline.inputs.options import SourceOptions
from pipeline.inputs.pattern import Glob, NameFilter
from pipeline.inputs.source import Source
from pipeline.store.uri import location

BASH = shutil.which("bash") or pytest.fail("bash is the oracle of braces")
BRACES = [
    *(
        "a{b,c}d",
        "{000..003}",
        "{a}",
        "{}",
        "{a,{b,c}x}{1..3}",
        "{3..1}",
        "{01..10..3}",
        "{a..e..2}",
        "x{",
        "}",
    ),
    *("{a,b", "{{a,b}}", "{-02..2}", "a{,b}", "{a,b}{", "{1..03}", "{a,b}}", "{{a,b}", "{a{1..3}}", "{,}"),
]


def test_braces_are_what_bash_makes_of_them() -> None:
    script = "".join(f"printf '%s\\n' {text}'' ; printf '%s\\n' '|'\n" for text in BRACES)
    said = subprocess.run([BASH, "-c", script], capture_output=True, text=True, check=True).stdout
    of_bash = [block.split("\n")[:-1] for block in said.split("|\n")[:-1]]
    assert [list(expanded(text)) for text in BRACES] == of_bash
    assert [has_braces(text) for text in ("{}", "{a}", "a{b,c}", "{1..2}", "a,b")] == [0, 0, 1, 1, 0]


@pytest.mark.parametrize("text", ["{0..9}" * 7, "{0..99999999999}", "{a,b}{000000..999999}"])
def test_a_million_names_are_the_most(text: str) -> None:
    with pytest.raises(UsageError, match=r"expands to [\d,]+ names, more than 1,000,000"):
        expanded(text)


def slow_match(parts: list[str], names: list[str]) -> bool:
    """Tries every number of folders for each `**`, and goes character by character."""
    if not parts:
        return not names
    if parts[0] == "**":
        least = 1 if len(parts) == 1 else 0
        return any(slow_match(parts[1:], names[used:]) for used in range(least, len(names) + 1))
    return bool(names) and slow_part(parts[0], names[0]) and slow_match(parts[1:], names[1:])


def slow_part(part: str, name: str) -> bool:
    if not part:
        return not name
    if part[0] == "*":
        return any(slow_part(part[1:], name[used:]) for used in range(len(name) + 1))
    if (match := re.match(r"\[([^\]!]+)\]", part)) and name:
        return name[0] in match[1] and slow_part(part[match.end() :], name[1:])
    return bool(name) and part[0] in ("?", name[0]) and slow_part(part[1:], name[1:])


PARTS = st.one_of(st.just("**"), st.text("ab?*é\n", min_size=1, max_size=3), st.just("[ab]*"))
NAMES = st.lists(st.text("abé\n", min_size=1, max_size=3), min_size=1, max_size=4)


@given(st.lists(PARTS, min_size=1, max_size=4), NAMES)
@example(["**", "**"], ["a"])
@example(["a", "**"], ["a"])
def test_globs_are_what_a_slow_matcher_says(parts: list[str], names: list[str]) -> None:
    glob, name = Glob("/".join(parts)), "/".join(names)
    assert glob.matches(name) == slow_match(parts, names)
    if glob.matches(name):
        assert name.startswith(glob.beginning)
        assert f"{name}/".startswith(f"{glob.base}/" if glob.base else "")
        assert all(glob.may_match_below("/".join(names[:depth])) for depth in range(len(names)))


@pytest.mark.parametrize(
    ("pattern", "name", "is_match"),
    [
        ("*.png", "a/b.png", True),
        ("*.png", "a/b.PNG", False),
        ("*.{png,jpg}", "b.jpg", True),
        ("thumbs/", "a/thumbs/x/b.png", True),
        ("thumbs/", "thumbs.png", False),
        ("a/*.png", "a/b.png", True),
        ("a/*.png", "z/a/b.png", False),
        ("**/a/*.png", "z/a/b.png", True),
        ("2026/", "2026/a.png", True),
    ],
)
def test_names_to_include_and_exclude(pattern: str, name: str, is_match: bool) -> None:
    assert NameFilter(pattern).matches(name) == is_match


FILES = (
    "a.jpg",
    "b.jpg",
    "c.png",
    "sub/a.jpg",
    "sub/deep/d.jpg",
    "x[1].jpg",
    "x1.jpg",
    ".hidden.jpg",
    "n\nl.jpg",
)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in FILES:
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4)).save(tmp_path / "in" / name, "PNG")
    return tmp_path / "in"


def taken(photos: Path, pattern: str, options: SourceOptions | None = None) -> list[str]:
    source = Source.at(f"{photos}/{pattern}", options or SourceOptions())
    return sorted(row.uri.removeprefix(f"file://{photos}/") for row in source.rows())


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*.jpg", ["a.jpg", "b.jpg", "n\nl.jpg", "x1.jpg", "x[1].jpg"]),
        ("?.jpg", ["a.jpg", "b.jpg"]),
        ("**/*.jpg", ["a.jpg", "b.jpg", "n\nl.jpg", "sub/a.jpg", "sub/deep/d.jpg", "x1.jpg", "x[1].jpg"]),
        ("x[1].jpg", ["x[1].jpg"]),
        ("x[0-9].jpg", ["x1.jpg"]),
        ("{a,b}.jpg", ["a.jpg", "b.jpg"]),
        ("{a,a}.jpg", ["a.jpg"]),
        ("s*/", ["sub/a.jpg", "sub/deep/d.jpg"]),
        ("{sub,sub/deep}/*.jpg", ["sub/a.jpg", "sub/deep/d.jpg"]),
        ("{s,su}*/**", ["sub/a.jpg", "sub/deep/d.jpg"]),
    ],
)
def test_what_a_pattern_takes(photos: Path, pattern: str, names: list[str]) -> None:
    assert taken(photos, pattern) == names


def test_folders_that_cannot_match_are_not_read(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda folder: read.append(str(folder)) or scandir(folder))
    assert len(taken(photos, "*.jpg")) == 5
    assert set(read) == {str(photos)}


@pytest.mark.parametrize(
    ("pattern", "sentence"),
    [
        ("nope/*.jpg", "there is no folder .*nope"),
        ("*.gif", "a pattern names files"),
        ("su*", "a pattern names files"),
        ("{a,z}.jpg", "there is no file .*z.jpg, which the braces of INPUT name"),
        ("{0..9999999}.jpg", "expands to 10,000,000 names"),
        ("{0..10000}/*.jpg", "more than 10,000 patterns"),
    ],
)
def test_a_pattern_that_takes_nothing_says_why(photos: Path, pattern: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        taken(photos, pattern)


def test_a_link_that_leads_out_is_counted_under_a_pattern_too(photos: Path) -> None:
    (photos.parent / "out").mkdir()
    Image.new("L", (4, 4)).save(photos.parent / "out" / "o.jpg", "PNG")
    (photos / "away").symlink_to("../out")
    (photos / "away.jpg").symlink_to("../out/o.jpg")
    for pattern in ("a*/*.jpg", "{away,sub}/*.jpg"):
        source = Source.at(f"{photos}/{pattern}", SourceOptions(follow_links=True))
        assert f"file://{photos}/away/o.jpg" in [row.uri for row in source.rows()]
    with pytest.raises(UsageError, match=r"links out of it: 1\); pass --follow-links"):
        taken(photos, "a*/*.jpg")
    source = Source.at(f"{photos}/{{away,sub}}/*.jpg")
    assert [row.uri for row in source.rows()] == [f"file://{photos}/sub/a.jpg"]
    assert source.skipped_links == 1


@pytest.mark.parametrize(
    ("pattern", "output", "is_refused"),
    [
        ("*.jpg", "masks", False),
        ("**/*.jpg", "masks", True),
        ("s*/*.jpg", "masks", False),
        ("s*/*.jpg", "sub", True),
        ("s*/*.jpg", ".", True),
        ("s*/*.jpg", "..", True),
        ("{a,b}.jpg", "masks", False),
        ("{a,b}.jpg", "a.jpg", True),
    ],
)
def test_an_output_beside_the_matches_is_none_of_them(
    photos: Path, pattern: str, output: str, is_refused: bool
) -> None:
    source = Source.at(f"{photos}/{pattern}")
    if is_refused:
        with pytest.raises(UsageError, match="inside the other"):
            source.refuse_overlap(location(str(photos / output)))
    else:
        source.refuse_overlap(location(str(photos / output)))


def test_the_recorded_input_is_the_pattern(photos: Path) -> None:
    assert str(Source.at(f"{photos}/s*/*.jpg").location) == f"file://{photos}/s*/*.jpg"
    assert str(Source.at(f"{photos}/s*/").location) == f"file://{photos}/s*/**"
