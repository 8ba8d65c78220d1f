"""Rates of the CPU side of a run: JPEGs listed, fetched from an S3 server on loopback, and decoded.

As in a run, eight threads fetch, two children decode, and pixels come back through pipes. Rates by CPU
seconds are for two idle cores. Rates by the clock are correct only if nothing else runs, and the server uses
the same cores. The start of the decoders is not counted.
Usage: python tests/bench/bench_feed.py [--images 400]
"""

import argparse
import io
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from PIL import Image

sys.path.append(str(Path(__file__).parents[1] / "stand_in"))

from object_stores import login_at, new_bucket, seaweedfs_server

from pipeline.images.decode_pool import DecodeLimits, DecodePool
from pipeline.images.fetch import FetchSettings, fetched
from pipeline.inputs.source import Source
from pipeline.labelling.fetch import THREADS
from pipeline.output.format.manifest import ManifestRow
from pipeline.store.settings import DEFAULT_ACCESS
from pipeline.store.storage import Store

PHOTO = Path(__file__).parents[2] / "jobs/demo/photos/coffee.jpg"
SIZES = {"640 x 480": ((640, 480), 250), "1500 x 2250": ((1500, 2250), 60)}  # size and promised images/s
DECODERS = 2
MOST_PIXELS = 1 << 28


def rates(url: str, count: int) -> dict[str, Any]:
    """Images per second of each stage and of all stages, by the clock and by CPU seconds of two cores."""
    settings, limits = FetchSettings(None, DEFAULT_ACCESS, MOST_PIXELS), DecodeLimits(MOST_PIXELS, 60)
    rows: list[ManifestRow] = []
    found = {"list": _timed(count, lambda: rows.extend(Source.at(url).rows()))}
    data: list[bytes] = []

    def fetch() -> None:
        with ThreadPoolExecutor(THREADS) as threads:
            data.extend(got.data for got in threads.map(lambda row: fetched(row._asdict(), settings), rows))

    found["fetch"] = _timed(count, fetch)
    start_ms = _timed(count, lambda: _decode(DecodePool(DECODERS, limits), data[:DECODERS]))["cpu_ms"]
    found["decode"] = _timed(count, lambda: _decode(DecodePool(DECODERS, limits), data), start_ms)
    cpu_s = sum(one["cpu_ms"] for one in found.values()) * count / 1e3
    found["all"] = {"cpu_ms": cpu_s / count * 1e3, "a_pair_of_cores": 2 * count / cpu_s}
    return found


def _decode(pool: DecodePool, data: Sequence[bytes]) -> None:
    with ThreadPoolExecutor(DECODERS) as threads:
        for _ in threads.map(pool.decode, data):
            pass
    pool.close()  # so that the children's seconds are counted


def _timed(count: int, work: Callable[[], object], less_ms: float = 0.0) -> dict[str, float]:
    before, begun = _cpu_s(), time.monotonic()
    work()
    seconds, cpu_s = time.monotonic() - begun, _cpu_s() - before - less_ms * count / 1e3
    return {
        "cpu_ms": cpu_s / count * 1e3,
        "by_the_clock": count / seconds,
        "a_pair_of_cores": 2 * count / cpu_s,
    }


def _cpu_s() -> float:
    """CPU seconds of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--images", type=int, default=400)
    count = options.parse_args().images
    figures = {}
    with tempfile.TemporaryDirectory() as folder, seaweedfs_server(Path(folder)) as endpoint:
        os.environ |= login_at(endpoint)
        for name, (size, promised) in SIZES.items():
            body = io.BytesIO()
            Image.open(PHOTO).resize(size, Image.Resampling.BICUBIC).save(body, "JPEG", quality=90)
            bucket = new_bucket()
            for number in range(count):
                Store.at(bucket).publish(f"{number:05d}.jpg", body.getvalue())
            found = figures[name] = rates(bucket, count)
            for stage, one in found.items():
                print(f"{name:<12}{stage:<8}" + "  ".join(f"{key} {value:.4g}" for key, value in one.items()))
            verdict = "held" if found["all"]["a_pair_of_cores"] >= promised else "BROKEN"
            print(f"{name:<12}{verdict}: {promised} images/s a pair of cores", flush=True)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
