"""A run with the stand-in generator as a process of its own, to be interrupted and killed.

Arguments: INPUT OUTPUT DELAY_S [LOG]. Options of RunConfig come as JSON in the variable RUN_OPTIONS; where
there is POISONABLE_DECODER, files may say what they do to their decoder.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from stand_in_generator import stand_in

from pipeline.config import RunConfig
from pipeline.errors import SamLabelError
from pipeline.run import run


def finished(
    source: Path | str,
    output: Path | str,
    log: Path,
    options: Mapping[str, Any] | None = None,
    **environment: str,
) -> dict[str, Any]:
    """The summary of such a process, once it has ended well."""
    said = {"RUN_OPTIONS": json.dumps(dict(options or {})), **environment}
    done = subprocess.run(
        [sys.executable, __file__, source, output, "0", log],
        env={**os.environ, **said},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout[:1]) == (0, "{"), done.stderr + done.stdout
    summary: dict[str, Any] = json.loads(done.stdout)
    return summary


def main() -> int:
    source, output, delay_s, *log = sys.argv[1:]
    options = json.loads(os.environ.get("RUN_OPTIONS", "{}"))
    config = RunConfig(input=source, output=output, **options)
    load = stand_in(float(delay_s), Path(log[0]) if log else None, "POISONABLE_DECODER" in os.environ)
    try:
        summary = run(config, load=load)
    except SamLabelError as fault:
        print(fault, file=sys.stderr)
        return fault.exit_code
    print(json.dumps(asdict(summary)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
