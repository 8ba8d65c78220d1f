"""One tree gives one answer on a disk, on SeaweedFS and on moto: the same images, the same counts."""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
import pytest
from object_stores import login_at, new_bucket
from PIL import Image

from pipeline.config import RunConfig
from pipeline.errors import UsageError
from pipeline.inputs.source import Source
from pipeline.plan import plan
from pipeline.store import s3

buffer = io.BytesIO()
Image.linear_gradient("L").resize((8, 8)).save(buffer, "PNG")
PNG = buffer.getvalue()
IMAGES = {
    "100%.png": PNG,
    "a b/ü #1+&=.jpg": PNG,
    "a b/u\u0308.jpg": PNG,
    "empty.png": b"",  # the name says image, so it becomes a failed row
    "no extension": PNG,
    "text.jpg": b"no image",
}
OTHERS = {
    "_SUCCESS": b"",
    "_metadata": b"rows",
    "a b/notes.txt": b"notes",
    "annotations.json": b"{}",
    "part_$folder$": b"",
    "short": b"x",
}
HIDDEN = {".DS_Store": b"x", ".cache/a.png": PNG, "a b/.thumbnail.png": PNG}
EMPTY_FOLDERS = ("c", "a b/d")


@pytest.fixture(scope="module", params=["disk", "seaweedfs", "moto"])
def tree(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of the folder with the tree, which no test changes; the environment names its server."""
    files = {**IMAGES, **OTHERS, **HIDDEN}
    if request.param == "disk":
        folder = tmp_path_factory.mktemp("tree") / "in"
        for name, data in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
        for name in EMPTY_FOLDERS:
            (folder / name).mkdir()
        yield f"file://{folder}"
        return
    with store_at(request.getfixturevalue(request.param)) as bucket:
        put(bucket, {f"in/{name}": data for name, data in files.items()})
        put(bucket, {"in/": b"", **{f"in/{name}/": b"" for name in EMPTY_FOLDERS}})
        yield f"{bucket}/in"


@contextmanager
def store_at(endpoint: str) -> Iterator[str]:
    """s3://bucket of a new bucket; meanwhile the environment names its server."""
    with pytest.MonkeyPatch.context() as environment:
        for name, value in login_at(endpoint).items():
            environment.setenv(name, value)
        s3.client.cache_clear()
        yield new_bucket()
    s3.client.cache_clear()


def put(bucket: str, objects: dict[str, bytes]) -> None:
    client = boto3.client("s3")
    for key, body in objects.items():
        client.put_object(Bucket=bucket.removeprefix("s3://"), Key=key, Body=body)


@pytest.mark.parametrize("slash", ["", "/"])
def test_one_tree_gives_one_answer(tree: str, slash: str, tmp_path: Path) -> None:
    source = Source.at(tree + slash)
    rows = {row.uri.removeprefix(f"{tree}/"): row.size for row in source.rows()}
    assert rows == {name: len(data) for name, data in IMAGES.items()}
    assert (source.skipped_files, source.skipped_links) == (len(OTHERS), 0)
    planned = plan(RunConfig(input=tree + slash, output=str(tmp_path / "out")))
    assert (planned.images, planned.skipped_files) == (len(IMAGES), len(OTHERS))


def test_an_empty_object_does_not_hide_the_folder_of_its_name(
    moto: str, use_store: Callable[[str], str]
) -> None:
    bucket = use_store(moto)
    put(bucket, {"photos": b"", "photos/1.png": PNG, "photos/sub": b"", "photos/sub/2.png": PNG})
    for url in (f"{bucket}/photos", f"{bucket}/photos/", bucket):
        source = Source.at(url)
        assert len(list(source.rows())) == 2
        assert source.skipped_files == (2 if url == bucket else 1), "the markers"


def test_an_object_and_a_folder_of_one_name_are_told_apart(
    moto: str, use_store: Callable[[str], str]
) -> None:
    bucket = use_store(moto)
    put(bucket, {"a": PNG, "a/1.png": PNG, "b": PNG, "c": b"", "d/": b"", "d/1.png": PNG})
    with pytest.raises(UsageError, match=r"both an object and a folder; name s3://.*/a/ for the folder"):
        Source.at(f"{bucket}/a")
    for name, images in {"a/": ["a/1.png"], "b": ["b"], "c": ["c"], "d": ["d/1.png"]}.items():
        assert [row.uri for row in Source.at(f"{bucket}/{name}").rows()] == [
            f"{bucket}/{image}" for image in images
        ]


@pytest.mark.parametrize(
    ("pattern", "matched"),
    [
        ("*.png", {"100%.png", "empty.png"}),
        ("**/*.jpg", {"a b/ü #1+&=.jpg", "a b/u\u0308.jpg", "text.jpg"}),
        ("a*/?*.jpg", {"a b/ü #1+&=.jpg", "a b/u\u0308.jpg"}),
        ("{100%,empty}.png", {"100%.png", "empty.png"}),
        ("{a b,c}/", {"a b/ü #1+&=.jpg", "a b/u\u0308.jpg"}),
        ("n*", {"no extension"}),
    ],
)
def test_one_pattern_gives_one_answer(tree: str, pattern: str, matched: set[str]) -> None:
    source = Source.at(f"{tree}/{pattern}")
    assert {row.uri.removeprefix(f"{tree}/") for row in source.rows()} == matched
