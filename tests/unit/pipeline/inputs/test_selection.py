"""Which of the listed images are selected: by name, by sample, by shard, and once for each content."""

import random
from pathlib import Path

import pytest
from boxes import tar_into
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import RunConfig
from pipeline.errors import UsageError
from pipeline.inputs.options import SourceOptions
from pipeline.inputs.sampled import sampled
from pipeline.inputs.selection import Selection, shard_of
from pipeline.inputs.skipped import Skipped, Why
from pipeline.inputs.source import Source
from pipeline.output.commands.merge import merge
from pipeline.output.commands.status import status
from pipeline.output.commands.validate import validate
from pipeline.output.dataset import Dataset
from pipeline.output.format.manifest import manifest_row
from pipeline.output.writer import Listing, open_output
from pipeline.plan import refuse_other_listing
from pipeline.reading.dataset import Dataset as Reader
from pipeline.reading.named import record_named
from pipeline.store.storage import Store

ROWS = [manifest_row(f"s3://b/{number}.png", number, "1") for number in range(200)]


@settings(max_examples=15)
@given(st.integers(1, 250), st.integers(0, 5), st.randoms(use_true_random=False))
def test_a_sample_is_the_same_for_any_order(count: int, seed: int, chance: random.Random) -> None:
    shuffled = chance.sample(ROWS, len(ROWS))
    skipped = Skipped()
    chosen = list(sampled(shuffled, count, seed, skipped))
    assert set(chosen) == set(sampled(ROWS, count, seed, Skipped()))
    assert len(chosen) == min(count, len(ROWS))
    assert skipped.counts[Why.SAMPLE] == len(ROWS) - len(chosen)
    assert chosen == [row for row in shuffled if row in set(chosen)], "in their order"


def test_a_sample_of_many_keeps_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = list(sampled(ROWS, 20, 1, Skipped()))
    monkeypatch.setattr("pipeline.inputs.sampled.ROWS_AT_ONCE", 7)
    assert list(sampled(ROWS, 20, 1, Skipped())) == whole
    assert whole != list(sampled(ROWS, 20, 2, Skipped()))


def test_a_larger_sample_holds_the_smaller_one() -> None:
    assert set(sampled(ROWS, 20, 0, Skipped())) < set(sampled(ROWS, 50, 0, Skipped()))


@pytest.mark.parametrize("of", [1, 2, 3, 7])
def test_the_shards_are_all_and_none_is_in_two(of: int) -> None:
    shards = [
        list(Selection.of(SourceOptions(shard=f"{number}/{of}", sample=90)).of_listing(ROWS, Skipped()))
        for number in range(1, of + 1)
    ]
    together = [row for shard in shards for row in shard]
    assert sorted(together) == sorted(sampled(ROWS, 90, 0, Skipped()))
    assert {shard_of(row.image_id, of) for row in ROWS} == set(range(1, of + 1))


@pytest.mark.parametrize("shard", ["4/3", "0/3", "3", "a/b", "1/0", "-1/3"])
def test_a_shard_that_is_none_is_refused(shard: str) -> None:
    with pytest.raises(ValueError, match="write N/M, such as 1/3, 2/3 or 3/3"):
        RunConfig(input="in", output="out", shard=shard)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Six images: two have the bytes of `a.png`, two are empty."""
    for name, data in {
        "a.png": b"one",
        "b/a.png": b"two",
        "b/z.jpg": b"one",
        "c.jpg": b"one",
        "e.png": b"",
        "f.png": b"",
        "thumbs/a.png": b"three",
        "notes.txt": b"one",
    }.items():
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(data)
    return tmp_path / "in"


def taken(photos: Path, **options: object) -> tuple[list[str], Source]:
    source = Source.at(str(photos), SourceOptions(**options))  # type: ignore[arg-type]
    return sorted(row.uri.removeprefix(f"file://{photos}/") for row in source.rows()), source


def test_names_are_included_and_excluded(photos: Path) -> None:
    names, source = taken(photos, include=("*.png",), exclude=("thumbs/", "b/*"))
    assert names == ["a.png", "e.png", "f.png"]
    assert source.skipped.counts == {Why.EXCLUDED: 4, Why.OTHER_FILE: 1}
    with pytest.raises(UsageError, match="--include or --exclude leaves out 7"):
        taken(photos, include=("*.gif",))
    only = str(photos / "a.png")
    (row,) = Source.at(only).rows()
    other = f"{3 - shard_of(row.image_id, 2)}/2"
    with pytest.raises(UsageError, match=f"its images are in other shards than {other}"):
        Source.at(only, SourceOptions(shard=other)).require_images()


MEMBERS = ["1.png", "2026/4.png", "IMG_3.png", "a/thumbs/2.png", "thumbs/1.png"]


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"exclude": ("thumbs/",)}, ["1.png", "2026/4.png", "IMG_3.png"]),
        ({"exclude": ("1.png",)}, ["2026/4.png", "IMG_3.png", "a/thumbs/2.png"]),
        ({"exclude": ("2026/**", "a/*/*")}, ["1.png", "IMG_3.png", "thumbs/1.png"]),
        ({"include": ("IMG_*",)}, ["IMG_3.png"]),
        ({"include": ("2026/**", "thumbs/*")}, ["2026/4.png", "thumbs/1.png"]),
    ],
)
@pytest.mark.parametrize("kind", ["folder", "tar", "list", "braces", "folder of a tar"])
def test_names_are_relative_to_any_input(
    tmp_path: Path, kind: str, options: dict[str, tuple[str, ...]], names: list[str]
) -> None:
    for name in MEMBERS:
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(b"x")
    (tmp_path / "list.txt").write_text("\n".join(f"in/{name}" for name in MEMBERS))
    tar_into(tmp_path / "p.tar", [(name, b"x") for name in MEMBERS])
    (tmp_path / "tars").mkdir()
    tar_into(tmp_path / "tars/in", [(name, b"x") for name in MEMBERS]).rename(tmp_path / "tars/in.tar")
    input_, beside = {
        "folder": ("in", ""),
        "tar": ("p.tar", ""),
        "list": ("list.txt", "in/"),
        "braces": ("in/{" + ",".join(MEMBERS) + "}", ""),
        "folder of a tar": ("tars", "in.tar/"),
    }[kind]
    asked = {
        option: tuple(f"{beside}{text}" if "*" in text and "/" in text else text for text in texts)
        for option, texts in options.items()
    }
    source = Source.at(f"{tmp_path}/{input_}", SourceOptions(**asked))  # type: ignore[arg-type]
    found = [row.uri.rpartition("/in/")[2].rpartition("#")[2] for row in source.rows()]
    assert sorted(found) == names


def test_each_content_is_taken_once(photos: Path) -> None:
    names, source = taken(photos, deduplicate=True)
    assert names == ["a.png", "b/a.png", "e.png", "f.png", "thumbs/a.png"], "empty ones are all told"
    first = next(row.image_id for row in source.rows() if row.uri.endswith("in/a.png"))
    assert [(uri.rpartition("/")[2], image) for uri, image in source.duplicates()] == [
        ("z.jpg", first),
        ("c.jpg", first),
    ]


def test_duplicates_stand_beside_the_dataset(photos: Path, tmp_path: Path, rehearsal) -> None:
    source = Source.at(str(photos), SourceOptions(deduplicate=True))
    run = rehearsal([])
    rows = map(run.row, (manifest_row(f"s3://b/{number}", 1, "1") for number in range(20)))
    labelled = next(row for row in rows if row["status"] == "ok")
    run.row = lambda image: labelled | {name: getattr(image, name) for name in ("image_id", "uri", "etag")}
    output = str(tmp_path / "out")
    with open_output(
        Store.at(output),
        run.identity,
        Listing(str(source.location), source.rows, source.duplicates, source.options.of_listing()),
    ) as written:
        run.label(written)
    state = status(output)
    assert (state.images, state.left, state.duplicates) == (5, 0, 2)
    assert validate(output).problems == []
    reader = Reader.open(output)
    assert record_named(reader, f"{photos}/c.jpg").uri == f"file://{photos}/a.png"
    with pytest.raises(UsageError, match="was listed with --deduplicate; give it"):
        refuse_other_listing(Dataset.at(output), Source.at(str(photos)).options, refresh=False)
    # a refresh without the option lists the duplicates as images of their own
    run.source, plain = str(source.location), Source.at(str(photos))
    with open_output(
        Store.at(output), run.identity, Listing(run.source, plain.rows, plain.duplicates), refresh=True
    ) as written:
        run.label(written)
    assert (status(output).images, status(output).duplicates) == (7, 0)
    assert validate(output).problems == [], "the old parts are swept"


def test_shards_are_merged_to_a_whole(rehearsal, tmp_path: Path) -> None:
    run = rehearsal([f"{number:02d}" for number in range(12)])
    places = []
    for number in (1, 2, 3):
        options = SourceOptions(shard=f"{number}/3", exclude=("x",))
        rows = list(Selection.of(options).of_listing(list(run.listing()), Skipped()))
        with open_output(
            Store.at(str(tmp_path / str(number))),
            run.identity,
            Listing(run.source, lambda rows=rows: rows, listed_with=options.of_listing()),
        ) as output:
            run.label(output)
        places.append(str(tmp_path / str(number)))
    merged = merge(places, str(tmp_path / "all"))
    assert (merged.images, merged.rows, merged.held_twice) == (12, 12, 0)
    assert validate(str(tmp_path / "all")).problems == []
    assert Dataset.at(str(tmp_path / "all")).record.listed_with == {"exclude": ["x"]}
    merge(places[:2], str(tmp_path / "two"))
    assert Dataset.at(str(tmp_path / "two")).record.listed_with["shard"] == "1/3 and 2/3"


def test_what_falls_out_of_the_selection_keeps_its_row_or_is_dropped(rehearsal, tmp_path: Path) -> None:
    run = rehearsal([f"{number:02d}" for number in range(9)])
    store = Store.at(str(tmp_path / "out"))
    run.run(store, shards=1)
    labelled = Dataset.in_store(store).rows
    some = list(run.listing())[-2:]
    run.listing = lambda: iter(some)  # type: ignore[method-assign]
    run.run(store, refresh=True)
    dataset = Dataset.in_store(store)
    assert (dataset.images, dataset.left) == (labelled + 2, 0)
    assert validate(store.url).problems == []
