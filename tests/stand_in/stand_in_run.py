"""`sam-label run` with the stand-in generator, as a separate process that tests can interrupt and kill.

Arguments: INPUT OUTPUT DELAY_S [LOG]. Flags of the command come as JSON in the variable RUN_OPTIONS. If
POISONABLE_DECODER is set, files can name a fault for their decoder.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from stand_in_generator import stand_in

import pipeline.run
from jobs import cli


def finished(
    source: Path | str,
    output: Path | str,
    log: Path,
    options: Mapping[str, Any] | None = None,
    **environment: str,
) -> dict[str, Any]:
    """Runs such a process to its successful end and returns its summary."""
    variables = {"RUN_OPTIONS": json.dumps(dict(options or {})), **environment}
    done = subprocess.run(
        [sys.executable, __file__, source, output, "0", log],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout[:1]) == (0, "{"), done.stderr + done.stdout
    summary: dict[str, Any] = json.loads(done.stdout)
    return summary


def main() -> None:
    source, output, delay_s, *log = sys.argv[1:]
    decoder = "poisoned_decode_child" if "POISONABLE_DECODER" in os.environ else None
    load = stand_in(float(delay_s), Path(log[0]) if log else None, decoder)
    pipeline.run.run = partial(pipeline.run.run, load=load)
    options = json.loads(os.environ.get("RUN_OPTIONS", "{}"))
    flags = []
    for name, value in options.items():
        flags += (
            [f"--{name.replace('_', '-')}"] if value is True else [f"--{name.replace('_', '-')}", str(value)]
        )
    cli.main(["run", source, output, "--json", *flags])


if __name__ == "__main__":
    main()
