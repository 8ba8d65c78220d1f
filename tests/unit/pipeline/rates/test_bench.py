"""`sam-label bench`: a sample that represents the input, its stages, and the estimate for the whole run."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jobs.bench_text import bench_text
from jobs.cli import main
from pipeline.cluster.labeler_pool import LabelerPool
from pipeline.inputs.sample import Sample, sampled
from pipeline.metrics.work import Stage
from pipeline.output.format.manifest import manifest_row
from pipeline.rates.estimate import Estimate
from pipeline.rates.rates import Rates

ROWS = [manifest_row(f"file:///{number:02d}.png", 10, "1") for number in range(20)]


def test_every_image_is_as_likely_and_a_seed_chooses_the_same() -> None:
    counts = Counter(row.uri for seed in range(2000) for row in sampled(ROWS, 5, seed).rows)
    assert len(counts) == 20
    assert all(430 < count < 570 for count in counts.values()), counts  # 500 each, three deviations of 19
    sample = sampled(iter(ROWS), 5, 1)
    assert sample == sampled(ROWS, 5, 1)
    assert sample.rows == sorted(sample.rows, key=ROWS.index), "in listing order"
    assert (sample.images, sample.size_bytes) == (20, 200)
    assert sampled(ROWS, 50, 0).rows == ROWS


def test_the_command_measures_a_sample_and_writes_nothing(
    tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The command sets these for its process, which later tests share.
    for name in ("OMP_NUM_THREADS", "PYTHONSAFEPATH"):
        monkeypatch.setenv(name, "1")
    (tmp_path / "in").mkdir()
    for number in range(3):
        Image.fromarray(np.full((20, 30, 3), number * 80, np.uint8)).save(tmp_path / "in" / f"{number}.png")
    (tmp_path / "in" / "broken.jpg").write_text("no image")
    with pytest.raises(SystemExit) as end:
        main(["bench", str(tmp_path / "in"), str(tmp_path / "out"), "--points-per-side", "1", "--json"])
    assert end.value.code == 0
    figures = json.loads(capsys.readouterr().out)
    assert (figures["images"], figures["sample"], figures["sample_failed"]) == (4, 3, 1)
    assert all(seconds > 0 for seconds in figures["stage_s"].values())
    assert figures["output_bytes"] == pytest.approx(4 * figures["output_bytes_an_image"])
    assert figures["hours"] == pytest.approx(4 / figures["images_per_s"] / 3600)
    assert not (tmp_path / "out").exists()


def test_a_gpu_is_fed_while_it_labels_and_a_cpu_does_all_by_itself() -> None:
    seconds = {Stage.FETCH: 5.0, Stage.DECODE: 4.0, Stage.LABEL: 1.0, Stage.WRITE: 1.0}
    rates = Rates(images=10, seconds=seconds)
    sample = Sample(ROWS, 7200, 0)
    on_gpus = Estimate(sample, rates, LabelerPool(workers=4, threads=1, gpus=1))
    assert on_gpus.seconds_an_image == pytest.approx(0.2)  # two decoders of 0.4 s an image
    assert (on_gpus.hours, on_gpus.gpu_hours) == (pytest.approx(0.1), pytest.approx(0.4))
    on_cpus = Estimate(sample, rates, LabelerPool(workers=1, threads=2, gpus=0))
    assert on_cpus.seconds_an_image == pytest.approx(0.6)
    assert on_cpus.gpu_hours == 0


def test_a_sample_without_an_image_promises_nothing() -> None:
    nothing = Estimate(Sample(ROWS[:2], 20, 200), Rates(failed=2), LabelerPool(1, 2, 0))
    assert "could be labelled" in bench_text(nothing, "masks")
    assert nothing.hours == 0
