"""File names are safe, and a split depends on an image's id and the seed alone."""

from hashlib import blake2b

import pytest

from pipeline.export.record import common_folder, file_name, place_of, split_of

ID = "0123456789abcdef" * 2


@pytest.mark.parametrize(
    ("uri", "source", "name"),
    [
        ("file:///photos/a b%.jpg", "file:///photos", "a b%.jpg"),
        ("file:///photos/sub/ü.jpg", "file:///photos", "sub/ü.jpg"),
        ("file:///photos/a.jpg", "file:///photos/a.jpg", "a.jpg"),
        ("s3://bucket/x/a.jpg", "s3://bucket", "x/a.jpg"),
        ("s3://bucket/x/../../../etc/a.jpg", "s3://bucket/x", f"{ID}.jpg"),
        ("s3://bucket/x//a.PNG", "s3://bucket/x", f"{ID}.png"),
        ("s3://bucket/x/./a.jpg", "s3://bucket/x", f"{ID}.jpg"),
        ("s3://bucket/x/a\n.jpg", "s3://bucket/x", f"{ID}.jpg"),
        ("s3://bucket/x/" + "a" * 300, "s3://bucket/x", ID),
        ("s3://bucket/x/" + "a" * 300 + ".tar/../b", "s3://bucket/x", ID),
        ("file:///photos/at 3.04\u202fPM.png", "file:///photos", "at 3.04\u202fPM.png"),
        ("file:///photos/\u5199\u3000\u200c.png", "file:///photos", "\u5199\u3000\u200c.png"),
        ("file:///photos/a\u202eb.png", "file:///photos", f"{ID}.png"),
        ("s3://bucket/2026-01/x/a.jpg", "s3://bucket/2026-*/**/*.jpg", "2026-01/x/a.jpg"),
        ("s3://bucket/p/x/1/a.jpg", "s3://bucket/p/{x/1,y/2}/*.jpg", "x/1/a.jpg"),
        ("file:///photos/a.jpg", "file:///photos/list.csv", "a.jpg"),
        ("file:///elsewhere/a.jpg", "file:///photos/list.csv", f"{ID}.jpg"),
        ("s3://other/a.jpg", "s3://bucket", f"{ID}.jpg"),
        ("s3://bucketful/a.jpg", "s3://bucket", f"{ID}.jpg"),
    ],
)
def test_a_name_is_below_the_input_or_the_id(uri: str, source: str, name: str) -> None:
    assert file_name(uri, source, ID) == name


@pytest.mark.parametrize(
    ("uri", "source", "place"),
    [
        ("file:///photos/sub/a.jpg", "file:///photos", "sub/a.jpg"),
        ("s3://bucket/x/" + "a" * 300, "s3://bucket/x", "a" * 300),
        ("s3://bucket/x//a\n.jpg", "s3://bucket/x", "/a\n.jpg"),
        ("file:///elsewhere/a.jpg", "file:///photos/list.csv", "/elsewhere/a.jpg"),
        ("https://host/a.jpg?b", "file:///photos/list.csv", "https://host/a.jpg?b"),
        ("file://localhost/caf%E9.jpg", "file:///photos", "file://localhost/caf%E9.jpg"),
    ],
)
def test_a_place_leads_to_the_image(uri: str, source: str, place: str) -> None:
    assert place_of(uri, source) == place


@pytest.mark.parametrize(
    ("inputs", "folder", "uri", "name"),
    [
        (["file:///x"], "file:///x", "file:///x/a.jpg", "a.jpg"),
        (["file:///x/a", "file:///x/b"], "file:///x", "file:///x/b/1.jpg", "b/1.jpg"),
        (["file:///x", "file:///x/b"], "file:///x", "file:///x/b/1.jpg", "b/1.jpg"),
        (["file:///x", "file:///y"], "file://", "file:///y/1.jpg", "y/1.jpg"),
        (["s3://x", "s3://y/z"], "s3:/", "s3://y/z/1.jpg", "y/z/1.jpg"),
        (["s3://x", "file:///x"], "", "s3://x/1.jpg", f"{ID}.jpg"),
    ],
)
def test_names_of_merged_datasets_are_below_what_their_inputs_share(
    inputs: list[str], folder: str, uri: str, name: str
) -> None:
    assert common_folder(inputs) == folder
    assert file_name(uri, folder, ID) == name


def test_the_split_has_about_its_shares_and_stays_as_it_is() -> None:
    ids = [blake2b(str(number).encode(), digest_size=16).hexdigest() for number in range(10_000)]
    shares = {"train": 0.8, "val": 0.15, "test": 0.05}
    splits = [split_of(image_id, shares, seed=1) for image_id in ids]
    assert {name: round(splits.count(name) / len(ids), 2) for name in shares} == shares
    assert splits[:50] == [split_of(image_id, shares, seed=1) for image_id in ids[:50]]
    assert splits != [split_of(image_id, shares, seed=2) for image_id in ids]
    wider = {"train": 0.85, "val": 0.1, "test": 0.05}
    moved = [(a, split_of(i, wider, 1)) for i, a in zip(ids, splits, strict=True)]
    assert {pair for pair in moved if pair[0] != pair[1]} == {("val", "train")}
