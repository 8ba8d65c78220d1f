"""A GPU's figures in one command of under 4 minutes: parity, images a second against the original, stages.

No checkpoints of the large models are available. Their image encoders therefore run with random weights, only
for their time, and the embeddings of the bundled MobileSAM are decoded, so that as many masks survive as on
real photos. Each figure is printed at once and written to a JSON file; at the end there is a table.

Cases that may fail or hang run in separate processes (gpu_process.py): a case that does is named, with the
last lines that its process wrote, and the others continue. Estimates for an H100 with 16 cores and an empty
kernel cache, including starts of processes:

    machine and its kernels   25 s     rates, stages and busy share   ViT-H 45 s, ViT-B 40 s, MobileSAM 35 s
    parity                    20 s     original                       ViT-H 20 s, ViT-B 15 s
    first masks               35 s     in all                         235 s

`--sweep` takes two more minutes. Peak memory excludes what only the bench keeps on the device. The float32
weights are loaded in every precision, as in a run; float32's peak is right if float32 comes first.

Without a GPU, try the command with `--device cpu --points-per-side 2 --models vit_t --sizes photos
--precisions float32 --photos 1`, and compile the sweep's tunings with `--device cpu --only-sweep`.
"""

import argparse
import json
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpu_process import Fault, answered, run_cases
from gpu_sweep import SWEPT
from gpu_table import table

MODELS = ("vit_t", "vit_b", "vit_l", "vit_h")
PARTS = ("parity", "first", "rates", "stages", "original")


@dataclass(frozen=True)
class Piece:
    """Cases that one process runs, with the seconds that each may take."""

    name: str
    cases: dict[str, float]


def main() -> None:
    asked = parsed(sys.argv[1:])
    if asked.piece:
        answer_cases(asked)
        return
    import torch

    if asked.device == "cuda" and not torch.cuda.is_available():
        print("There is no CUDA device here: nothing was measured.")
        return
    for name in (signal.SIGINT, signal.SIGTERM):  # both end the child and still print the figures so far
        signal.signal(name, signal.default_int_handler)
    figures: dict[str, Any] = {"asked": vars(asked), "seconds": {}, "said": []}
    began = time.monotonic()
    try:
        for piece in pieces(asked):
            run_piece(piece, asked, figures, began + 60 * asked.minutes)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
    print("\n".join(table(figures)))
    print(f"{time.monotonic() - began:.0f} s; all figures are in {asked.json}")


def parsed(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--models", nargs="+", default=["vit_h", "vit_b", "vit_t"], choices=MODELS)
    parser.add_argument(
        "--precisions",
        nargs="+",
        default=["float32", "float16"],
        help="stages are of the last; float32 first",
    )
    parser.add_argument("--sizes", nargs="+", default=["sa1b", "photos"], choices=["sa1b", "photos"])
    parser.add_argument("--points-per-side", type=int, default=32)
    parser.add_argument("--photos", type=int, default=6, help="how many of the samples are timed")
    parser.add_argument("--skip", nargs="+", default=[], choices=PARTS)
    parser.add_argument("--sweep", action="store_true", help="other tunings of the largest kernels as well")
    parser.add_argument("--only-sweep", action="store_true", help="nothing but those")
    parser.add_argument("--json", type=Path, default=Path("bench_gpu.json"), help="where the figures go")
    parser.add_argument("--minutes", type=float, default=8.0, help="after which nothing new is begun")
    parser.add_argument("--piece", help=argparse.SUPPRESS)
    parser.add_argument("--cases", nargs="+", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def pieces(asked: argparse.Namespace) -> list[Piece]:
    """All requested pieces, the most important first."""
    found = [Piece("machine", {"machine": 60, "kernels": 120})]
    swept = [Piece(f"sweep {name}", dict.fromkeys(cases, 60.0)) for name, cases in SWEPT.items()]
    if asked.only_sweep:
        return [*found, *swept]
    lossy = [each for each in asked.precisions if each != "float32"]
    last = asked.precisions[-1]
    # the original's masks were recorded with the default grid
    parity = [f"recorded {each}" for each in asked.precisions if asked.points_per_side == 32]
    parity += [f"beside_float32 {each}" for each in lossy]
    if "parity" not in asked.skip and parity:
        found.append(Piece("parity", dict.fromkeys(parity, 60.0)))
    if "first" not in asked.skip:
        found.append(Piece("first", {f"empty {last}": 120, f"full {last}": 60}))
    for model in asked.models:
        cases = dict[str, float]()
        if "rates" not in asked.skip:
            cases |= {f"rate {each} {size}": 60 for each in asked.precisions for size in asked.sizes}
        if "stages" not in asked.skip:
            cases |= {f"stages {last} {size}": 45 for size in asked.sizes}
            if asked.device == "cuda":
                cases |= {f"busy {last} {size}": 45 for size in asked.sizes}
        if cases:
            found.append(Piece(f"model {model}", cases))
    if "original" not in asked.skip:
        for model in asked.models:
            if model != "vit_t":  # which the original does not have
                found.append(Piece(f"original {model}", {"rate 3": 90}))
    return [*found, *swept] if asked.sweep else found


def run_piece(piece: Piece, asked: argparse.Namespace, figures: dict[str, Any], deadline: float) -> None:
    """Adds a piece's results to the figures, and prints and writes them as they come."""
    began = time.monotonic()

    def took(case: str, answer: Any) -> None:
        if isinstance(answer, Fault):
            answer = {"fault": answer.why, "last_lines": answer.last_lines}
        figures.setdefault(piece.name, {})[case] = answer
        figures["seconds"][piece.name] = round(time.monotonic() - began, 1)
        at = f"[{figures['seconds'][piece.name]:5.1f} s] {piece.name}, {case}"
        print(f"{at}: {json.dumps(answer)}", flush=True)
        asked.json.write_text(json.dumps(figures, indent=1, default=str))

    def said(line: str) -> None:
        if line not in figures["said"]:
            figures["said"].append(line)

    # a CPU is only for trying the command, so it may take longer
    cases = {case: most_s * (1 if asked.device == "cuda" else 6) for case, most_s in piece.cases.items()}
    command = [sys.executable, __file__, *sys.argv[1:], "--piece", piece.name, "--cases"]
    run_cases(command, cases, took, deadline, said)


def answer_cases(asked: argparse.Namespace) -> None:
    """In a child: runs one case after the other. A fault ends the process, as the device may be unusable."""
    import torch
    from gpu_parts import part

    torch.set_grad_enabled(False)
    answering = part(asked.piece, asked)
    for case in asked.cases:
        method, *arguments = case.split()
        answered(case, getattr(answering, method)(*arguments))


if __name__ == "__main__":
    main()
