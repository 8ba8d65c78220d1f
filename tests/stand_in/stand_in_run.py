"""A run with the stand-in generator as a process of its own, to be interrupted and killed.

Arguments: INPUT OUTPUT DELAY_S [LOG]. Options of RunConfig come as JSON in the variable RUN_OPTIONS.
"""

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from stand_in_generator import stand_in

from pipeline.config import RunConfig
from pipeline.errors import SamLabelError
from pipeline.run import run


def main() -> int:
    source, output, delay_s, *log = sys.argv[1:]
    options = json.loads(os.environ.get("RUN_OPTIONS", "{}"))
    config = RunConfig(input=source, output=output, **options)
    try:
        summary = run(config, load=stand_in(float(delay_s), Path(log[0]) if log else None))
    except SamLabelError as fault:
        print(fault, file=sys.stderr)
        return fault.exit_code
    print(json.dumps(asdict(summary)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
