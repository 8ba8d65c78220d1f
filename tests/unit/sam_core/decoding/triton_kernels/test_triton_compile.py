"""All kernels compile for GPUs that are not here, and fit them; processes that share them miss none.

As a script, for all kernels: python test_triton_compile.py [80 90 100]. It prints each kernel's use of a GPU.
These tests compile in separate processes, because the other tests of this folder run Triton interpreted.
"""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

ROOT = Path(__file__).parents[5]
STAND_IN = ROOT / "tests" / "stand_in"
ROOMS = (ROOT / "sam_core" / "model" / "triton", ROOT / "sam_core" / "decoding" / "triton")
MOST_SHARED = 112 * 1024  # bytes of a block; two of them fit an H100
MOST_SHARED_OF_SMALL = 99 * 1024  # of a block on an A10G, an L4, an RTX 3090, 4090 or 5090
TENSOR_MEMORY = (
    512  # columns on a B200; Triton compiles a program that needs more, and then refuses to load it
)
LARGE = "positions|look|gram|upscale|linear"
LAUNCHED = re.compile(r"^ +(_?[a-z]\w+)\[[\w(].*\]\(", re.MULTILINE)
ONE_EACH = [("vit_t", "float16"), ("vit_b", "float16"), ("vit_t", "float32")]


def compiled(
    capability: int, models: list[tuple[str, str]], all_variants: bool, only: str = ""
) -> list[dict[str, Any]]:
    """The GPU resources of the models' kernels; one variant for each kernel and type, or all variants.

    only: a pattern for the kernels' names.
    """
    import torch
    from assembled import usage

    from sam_core.decoding.triton.rehearsal import Rehearsal, rehearse

    found = list[dict[str, Any]]()

    class OneEach(Rehearsal):
        def start(self, kernel: Any, grid: Any, *arguments: Any, **constants: Any) -> None:
            self.is_half = torch.float16 in {getattr(argument, "dtype", None) for argument in arguments}
            known = {(each["kernel"], each["is_half"]) for each in found}
            is_new = all_variants or (kernel.__name__, self.is_half) not in known
            if is_new and re.search(only, kernel.__name__):
                super().start(kernel, grid, *arguments, **constants)

    def take(name: str, kernel: Any) -> None:
        used = usage(kernel.asm["ptx"], capability)
        used["reads"] = kernel.asm["ptx"].count("ldmatrix")
        used["tensor_memory"] = getattr(kernel.metadata, "tmem_size", 0)
        found.append({"kernel": name, "is_half": rehearsal.is_half, "shared": kernel.metadata.shared, **used})

    rehearsal = OneEach(take)
    for model_type, precision in models:
        rehearse(model_type, precision, capability, rehearsal)
    return found


def filled_and_compiled(cache: str) -> dict[str, Any]:
    """Fills an empty cache, twice; returns what was left to compile, and the kernels' resources."""
    from sam_core.decoding.triton import look
    from sam_core.decoding.triton.rehearsal import Rehearsal, rehearse
    from sam_core.decoding.triton.side_by_side import KernelSet, compile_side_by_side

    kernels = KernelSet("vit_t", "bfloat16", 90)
    has_filled = [compile_side_by_side(kernels, processes=1) for _ in range(2)]
    before, asked_for = sorted(map(str, Path(cache).iterdir())), list[str]()
    rehearse("vit_t", "bfloat16", 90, Rehearsal(lambda name, _: asked_for.append(name)))
    found = {
        "filled": has_filled,
        "before": before,
        "after": sorted(map(str, Path(cache).iterdir())),
        "asked_for": asked_for,
        "compiled": compiled(90, ONE_EACH, all_variants=False),
        "tuned": compiled(86, [("vit_t", "float16")], all_variants=True, only=LARGE),
        "newer": compiled(100, [("vit_t", "float16"), ("vit_t", "float32")], all_variants=True, only=LARGE),
    }
    for key, tuning in look.TUNING.items():
        look.TUNING[key] = replace(tuning, warps=8, prompts=2)
    found["pairs"] = compiled(90, [("vit_t", "float16")], all_variants=True, only="^look")
    return found


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The result of filled_and_compiled in a separate process with an empty cache."""
    cache = tmp_path_factory.mktemp("cache")
    environment = {
        **os.environ,
        "TRITON_INTERPRET": "0",
        "TRITON_CACHE_DIR": str(cache),
        "PYTHONPATH": os.pathsep.join(map(str, (Path(__file__).parent, STAND_IN, ROOT))),
    }
    code = "import json, test_triton_compile as test; "
    code += f"print(json.dumps(test.filled_and_compiled({str(cache)!r})))"
    command = [sys.executable, "-c", code]
    process = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=280, check=False
    )
    assert process.returncode == 0, process.stderr[-3000:]
    return json.loads(process.stdout.splitlines()[-1])


def test_every_kernel_compiles_for_an_h100(done: Any) -> None:
    of_encoders, of_decoder = (
        {name for path in room.glob("*.py") for name in LAUNCHED.findall(path.read_text())} for room in ROOMS
    )
    compiled = done["compiled"]
    assert {kernel["kernel"] for kernel in compiled} == of_encoders | of_decoder
    assert len(compiled) > 30
    assert all(kernel["shared"] <= MOST_SHARED for kernel in compiled)
    for kernel in compiled:
        if kernel["kernel"] in of_encoders:
            assert kernel["spills"] == 0, kernel
        else:
            # half a kilobyte fits L1; positions1 spills 540 bytes in float32, and has one program a tile
            assert kernel["spills"] <= (512 if kernel["is_half"] else 540), kernel
        if kernel["kernel"] in ("_sums", "_columns", "_selected", "_edges"):
            # many of their blocks must run at the same time
            assert kernel["shared"] < 48 * 1024, kernel


def test_the_largest_kernels_fit_the_smaller_cards(done: Any) -> None:
    assert len(done["tuned"]) > 7
    for kernel in done["tuned"]:
        assert kernel["shared"] <= MOST_SHARED_OF_SMALL, kernel
        assert kernel["spills"] <= 64, kernel


def test_the_largest_kernels_fit_the_tensor_memory_of_newer_cards(done: Any) -> None:
    used = [kernel["tensor_memory"] for kernel in done["newer"]]
    assert 0 < max(used) <= TENSOR_MEMORY


def test_looks_read_no_operand_into_registers(done: Any) -> None:
    """In float16: when a program computed its query instead of loading it, it read it 16 times a tile."""
    (look,) = (
        kernel for kernel in done["compiled"] if kernel["kernel"] == "look_kernel" and kernel["is_half"]
    )
    assert look["reads"] == 0
    assert look["registers"] < 200


def test_looks_of_two_prompts_spill_nothing(done: Any) -> None:
    """They need as many registers and as much shared memory as two programs of one prompt may have."""
    assert len(done["pairs"]) > 1
    for look in done["pairs"]:
        assert (look["spills"], look["reads"]) == (0, 0), look
        assert look["shared"] <= 2 * MOST_SHARED, look


def test_a_cache_is_filled_once(done: Any) -> None:
    assert done["filled"] == [True, False]
    assert len(done["before"]) > len(done["asked_for"]) > 5
    assert done["after"] == done["before"], "nothing was left to compile"


def test_processes_share_the_kernels() -> None:
    from sam_core.decoding.triton.rehearsal import Rehearsal

    shared = list[list[Any]]()
    for share in range(3):
        shared.append([])
        rehearsal = Rehearsal(lambda _, kernel: shared[-1].append(kernel), share, shares=3)
        for number in (1, 16, 32, 5, 7, 2.5):  # to the compiler: 1, two multiples of 16, two others, a float
            kernel = SimpleNamespace(__name__="k", run=lambda *arguments, **_: arguments[0])
            rehearsal.start(kernel, (1,), number, BLOCK=4)
    assert sorted(number for numbers in shared for number in numbers) == [1, 2.5, 5, 16]
    assert max(map(len, shared)) == 2


def main() -> None:
    every = [
        (model, precision) for model in ("vit_t", "vit_b", "vit_h") for precision in ("float16", "float32")
    ]
    sys.path.append(str(STAND_IN))
    for capability in map(int, sys.argv[1:] or ("80", "90", "100")):
        for kernel in compiled(capability, every, all_variants=True):
            print(capability, kernel, flush=True)


if __name__ == "__main__":
    main()
