"""`sam-label run` from the outside: a separate process with the real model, as in the README.

The first run's working directory is its INPUT, a folder of modules that must not be imported, and PYTHONPATH
names it. The later commands start no Ray and run in this process.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from commands import ran
from PIL import Image
from traps import MODULES, plant

from pipeline.output.dataset import Dataset
from sam_core.generator import SamAutomaticMaskGenerator
from sam_core.weights.registry import load_sam

ROOT = Path(__file__).parents[2]
PHOTOS = ROOT / "jobs" / "demo" / "photos"
SAM_LABEL = Path(sys.executable).with_name("sam-label")
COARSE = ("--points-per-side", "3", "--workers", "1")
LOOSE = (
    "--pred-iou-thresh",
    "0",
    "--stability-score-thresh",
    "0",
    "--box-nms-thresh",
    "1",
    "--crop-nms-thresh",
    "1",
)


Said = Callable[..., tuple[int, str, str]]


@pytest.fixture
def sam_label(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Said:
    """Runs the command with arguments, without our settings; returns its exit code and its output."""
    for name in [name for name in os.environ if name.startswith("SAM_LABEL_")]:
        monkeypatch.delenv(name)

    def said(*arguments: str | Path) -> tuple[int, str, str]:
        return ran(capsys, *arguments)

    return said


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small photo in a subfolder, a text file named .jpg and a truncated JPEG."""
    folder = tmp_path_factory.mktemp("photos")
    (folder / "sub folder").mkdir()
    with Image.open(PHOTOS / "coins.jpg") as image:
        image.resize((240, 160)).save(folder / "sub folder" / "coins #1 50%.png")
    (folder / "notes.jpg").write_text("not an image at all")
    (folder / "cut off.jpg").write_bytes((PHOTOS / "chelsea.jpg").read_bytes()[:20_000])
    plant(folder, MODULES, folder.parent / "ran")
    return folder


@pytest.fixture(scope="module")
def first_run(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, object]]:
    """The dataset and the summary of one whole run that keeps every mask."""
    output = tmp_path_factory.mktemp("output") / "masks"
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SAM_LABEL_")}
    done = subprocess.run(
        [SAM_LABEL, "run", ".", os.path.relpath(output, photos), *COARSE, *LOOSE, "--json"],
        cwd=photos,
        env={**inherited, "PYTHONPATH": f".:{output / 'other'}:"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("sam-label: warning: PYTHONPATH has an empty or relative entry")
    return output, json.loads(done.stdout)


def test_a_run_labels_what_it_can_and_says_what_failed(first_run: tuple[Path, dict[str, object]]) -> None:
    output, summary = first_run
    assert summary["labelled"] == 1
    assert summary["failed"] == 2
    assert summary["failed_by_reason"] == {"NOT_AN_IMAGE": 1, "TRUNCATED": 1}
    assert summary["output"] == output.as_uri()


def test_no_process_of_a_run_imports_from_the_folder_it_stands_in(
    photos: Path, first_run: tuple[Path, dict[str, object]]
) -> None:
    ran = photos.parent / "ran"
    assert not ran.exists(), ran.read_text()
    assert Dataset.at(str(first_run[0])).labelled == 1


def test_a_second_run_has_nothing_to_do(
    sam_label: Said, photos: Path, first_run: tuple[Path, dict[str, object]]
) -> None:
    output, _ = first_run
    before = {path: path.stat().st_mtime_ns for path in output.rglob("*.parquet")}
    code, out, err = sam_label("run", photos, output, *COARSE, *LOOSE)
    assert code == 0, err
    assert "nothing to do" in out
    assert "3 images done before" in out
    assert {path: path.stat().st_mtime_ns for path in output.rglob("*.parquet")} == before


def test_other_options_on_the_same_dataset_are_refused(
    sam_label: Said, photos: Path, first_run: tuple[Path, dict[str, object]]
) -> None:
    code, _, err = sam_label("run", photos, first_run[0], "--points-per-side", "5")
    assert code == 2
    assert "points_per_side" in err
    assert "Traceback" not in err


def test_a_filtered_dataset_is_what_the_tighter_options_give(
    sam_label: Said, first_run: tuple[Path, dict[str, object]], tmp_path: Path
) -> None:
    default = ("--pred-iou-thresh", "0.88", "--stability-score-thresh", "0.95", "--box-nms-thresh", "0.7")
    code, out, err = sam_label(
        "filter", first_run[0], tmp_path / "tight", *default, "--crop-nms-thresh", "0.7", "--json"
    )
    assert code == 0, err
    summary = json.loads(out)
    assert summary["masks_before"] > summary["masks"] > 0
    rows = Dataset.at(str(tmp_path / "tight")).table().to_pylist()
    (row,) = [row for row in rows if row["status"] == "ok"]
    with Image.open(row["uri"].removeprefix("file://")) as photo:
        masks = SamAutomaticMaskGenerator(load_sam().sam, 3).generate_masks(np.array(photo.convert("RGB")))
    assert row["mask_counts"] == [counts.decode() for counts in masks.counts]
    assert row["mask_area"] == masks.area.tolist()
    np.testing.assert_array_equal(np.array(row["mask_point_coords"], np.float32), masks.point_coords)
    assert row["num_masks"] == summary["masks"]
    assert sam_label("validate", tmp_path / "tight")[0] == 0


def test_a_dry_run_counts_and_writes_nothing(sam_label: Said, photos: Path, tmp_path: Path) -> None:
    code, out, err = sam_label("run", photos, tmp_path / "masks", "--dry-run", "--json")
    assert code == 0, err
    planned = json.loads(out)
    assert (planned["images"], planned["pending"], planned["sample"]) == (3, 3, 2)
    assert planned["estimate"]["hours"] > 0 < planned["estimate"]["megapixels"]
    assert not (tmp_path / "masks").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("{tmp}/gone", "{tmp}/out"), "there is no file or folder {tmp}/gone"),
        (("{tmp}/empty", "{tmp}/out"), "no image was found in {tmp}/empty"),
        (("{photos}", "{photos}/out"), "is inside the other"),
        (("{photos}", "{tmp}/file/out"), "{tmp}/file"),
        (
            ("{photos}", "{tmp}/out", "--checkpoint", "{tmp}/gone.pth"),
            "there is no checkpoint {tmp}/gone.pth",
        ),
        (("{photos}", "{tmp}/out", "--checkpoint", "{tmp}/file"), "{tmp}/file"),
        (("{photos}", "{tmp}/out", "--model", "vit_h"), "sam-label models pull vit_h"),
        (("ftp://host/photos", "{tmp}/out"), "ftp://host/photos is not a file, s3, gs, az or https URL"),
    ],
)
def test_bad_input_is_found_before_any_work(
    photos: Path,
    tmp_path: Path,
    sam_label: Said,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    sentence: str,
) -> None:
    monkeypatch.setenv("SAM_LABEL_CACHE", str(tmp_path / "cache"))
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("a file where a folder should be")
    code, out, err = sam_label("run", *(part.format(tmp=tmp_path, photos=photos) for part in arguments))
    assert code in (1, 2)
    assert sentence.format(tmp=tmp_path) in err
    (error,) = [line for line in err.splitlines() if not line.startswith("sam-label: warning: ")]
    assert error.startswith("sam-label: ")
    assert out == ""
    assert not (tmp_path / "out").exists()
