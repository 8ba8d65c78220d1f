"""Which places may be named, and how messages show them."""

import os
from pathlib import Path
from urllib.parse import quote

import pytest

from pipeline.errors import UsageError
from pipeline.store.uri import Location, location, printable, redacted, split_uri


@pytest.mark.parametrize(
    ("text", "scheme", "root"),
    [
        ("s3://bucket/a b%20#?x", "s3", "bucket/a b%20#?x"),
        ("s3://bucket/", "s3", "bucket"),
        ("S3://bucket", "s3", "bucket"),
        ("gs://bucket/x", "gs", "bucket/x"),
        ("abfs://container/x/", "az", "container/x"),
        ("https://host:8443/a%20b/?size=1", "https", "host:8443/a%20b/?size=1"),
        ("file:///photos/a%20b", "file", "/photos/a%20b"),
        ("/photos/../other/", "file", "/other"),
        ("/", "file", ""),
    ],
)
def test_a_place_is_taken_as_it_is_written(text: str, scheme: str, root: str) -> None:
    assert location(text) == Location(scheme, root)


def test_a_relative_path_starts_at_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert location("photos") == location(str(tmp_path / "photos"))


def test_a_path_may_start_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert location("~/photos") == location(str(tmp_path / "photos"))
    assert location("~no such person/photos").root.endswith("/~no such person/photos")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ftp://host/x",
        "https://me:secret@host/x",
        "https:///x",
        "simplecache::s3://bucket/x",
        "zip://a.zip::s3://bucket/x",
        "s3://key:secret@bucket/x",
        "s3://bucket:9000/x",
        "s3:///x",
        "s3://169.254.169.254/latest",
        "s3://0xa9fea9fe/latest",
        "file://localhost",
        "file://host/x",
    ],
)
def test_other_places_are_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        location(text)
    assert "secret" not in str(caught.value)


def test_a_near_scheme_is_suggested() -> None:
    with pytest.raises(UsageError, match=r"did you mean s3\?"):
        location("s3n://bucket/x")


@pytest.mark.parametrize("path", [b"/caf\xe9", b"/a%20b/\xff\xfe\n#?", b"/\xc3\xa9\xe9"])
def test_a_path_that_is_not_utf_8_is_percent_encoded_after_localhost(path: bytes) -> None:
    place = location(os.fsdecode(path))
    assert str(place) == f"file://localhost{quote(path)}"
    assert location(str(place)) == place
    _, name = split_uri(place.uri("ü.png"))
    assert os.fsencode(f"/{name}") == path + "/ü.png".encode()


def test_a_path_that_looks_encoded_is_taken_as_it_is() -> None:
    assert location("/caf%E9").uri("%FF") == "file:///caf%E9/%FF"
    assert split_uri("file:///caf%E9/%FF")[1] == "caf%E9/%FF"


def test_a_bucket_has_no_names_that_are_not_utf_8() -> None:
    with pytest.raises(UsageError, match="is not UTF-8"):
        location("s3://bucket/\udce9")


@pytest.mark.parametrize(
    "uri", ["s3://bucket/a/b::c?versionId=1#2%", "file:///a b", "gs://b/é", "https://h/é?a#b"]
)
def test_an_images_uri_is_split_without_loss(uri: str) -> None:
    whole, name = split_uri(uri)
    assert whole.uri(name) == uri


def test_messages_show_no_secret_and_stay_on_one_line() -> None:
    shown = redacted("s3://me:pass@b/x\ny https://h/x?X-Amz-Signature=abc&token=def&size=1")
    assert shown == r"s3://***b/x\ny https://h/x?***&***&size=1"
    assert redacted("caf\udce9.png") == r"caf\udce9.png"


@pytest.mark.parametrize(
    "signed",
    [
        "X-Amz-Security-Token=abc",
        "X-Goog-Credential=abc",
        "sv=1&sig=abc",
        "AWSAccessKeyId=abc",
        "size=1&access_token=abc",
    ],
)
def test_no_kind_of_signature_is_shown(signed: str) -> None:
    assert "abc" not in redacted(f"https://host/w.pth?{signed}")


def test_no_shown_text_steers_a_terminal_or_turns_the_writing() -> None:
    hostile = "a\x1b[31m\x9b2J\x7f\u202egpj.exe\u2066b\u2028c\r\n\td"
    assert redacted(hostile) == (r"a\x1b[31m\x9b2J\x7f\u202egpj.exe\u2066b\u2028c\r\n\td"), "on one line"
    assert printable(hostile) == "a\\x1b[31m\\x9b2J\\x7f\\u202egpj.exe\\u2066b\\u2028c\\r\n\td"
    assert printable("Grüße 日本 \u200fעברית 🎉") == "Grüße 日本 \u200fעברית 🎉"
