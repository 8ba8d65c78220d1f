"""The fused decoder's kernels compiled for GPUs that are not here.

Run: python compile_decoder.py [80 90 100] [KERNEL ...]: registers, spills and shared memory of all kernels,
or of those named. tests/unit/sam_core/test_kernels_compile.py does so for a few.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Case:
    """A kernel, the types of its arguments as Triton writes them, and its constants."""

    name: str
    kernel: Any
    types: str
    constants: dict[str, Any]
    warps: int
    stages: int = 1
    options: dict[str, int] = field(default_factory=dict)


def cases() -> Iterator[Case]:
    """All kernels as they are launched, for 64 x 64 positions."""
    from sam_core.decoding.triton import first_look, look, positions, token_products, upscale

    P = {"P": 4096}
    tiles = {"TILE": first_look.TILE, "TILE_N": first_look.TILE_N}
    kernel, stages = first_look.first_look_kernel, first_look.STAGES
    yield Case("first_look", kernel, "ffhfi", {**P, **tiles}, first_look.WARPS, stages)
    tiles = {"TILE": positions.TILE, "TILES": positions.TILES}
    kernel, stages = positions.positions0_kernel, positions.STAGES_FIRST
    yield Case("positions0", kernel, "hhfffhhfss", {**P, **tiles}, positions.WARPS, stages)
    kernel, stages = positions.positions1_kernel, positions.STAGES_SECOND
    yield Case("positions1", kernel, "hhhhfffffhhhfhfss", {**P, **tiles}, positions.WARPS, stages)
    for F in (64, 128):
        for tuning, name in ((look.ACCURATE, "accurate"), (look.QUICK, "quick")):
            constants = {"STEPS": 4096 // tuning.tile, "ACCURATE": tuning.is_accurate, "F": F}
            constants |= {**P, "TILE": tuning.tile}
            types = "hhhhhfhhhfffffs"
            yield Case(f"look of {F}, {name}", look.look_kernel, types, constants, look.WARPS, tuning.stages)
    products, warps, stages = token_products, token_products.WARPS, token_products.STAGES
    for two in (False, True):
        yield Case(f"gram {two}", products.gram_kernel, "ffffffffh", {"TWO": two}, warps, stages)
        yield Case(f"mix {two}", products.mix_kernel, "ffffffhhs", {"TWO": two}, warps, stages)
        yield Case(f"seen {two}", products.seen_kernel, "ffffffffff", {"TWO": two}, warps, stages)
    yield Case("values", products.values_kernel, "ffffffh", {}, warps, stages)
    for is_exact, tune, types in (
        (False, upscale.HALF, "hfhhhhhhhffffiiiiis"),
        (True, upscale.EXACT, "fffhhhhhhffffiiiiis"),
    ):
        constants = {"EXACT": is_exact, "MASKS": 3, "TILE": tune.tile}
        options = {"maxnreg": tune.registers}
        name = "exact upscale" if is_exact else "upscale"
        yield Case(name, upscale.upscale_kernel, types, constants, tune.warps, options=options)


def compiled(case: Case, capability: int) -> Any:
    """The kernel for the GPUs of this capability; pointers and sizes are multiples of 16 as on a launch."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    written_out = {"h": "*fp16", "f": "*fp32", "i": "i32", "s": "fp32"}
    names = case.kernel.arg_names
    arguments = [name for name in names if name not in case.constants]
    signature = {name: written_out[letter] for name, letter in zip(arguments, case.types, strict=True)}
    not_special = {parameter.name for parameter in case.kernel.params if parameter.do_not_specialize}
    special = [name for name in arguments if signature[name] != "fp32" and name not in not_special]
    source = ASTSource(
        fn=case.kernel,
        signature=signature | dict.fromkeys(case.constants, "constexpr"),
        constexprs=case.constants,
        attrs={(names.index(name),): [["tt.divisibility", 16]] for name in special},
    )
    options = {"num_warps": case.warps, "num_stages": case.stages, **case.options}
    return triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)


def resources(assembly: str, capability: int, folder: Path) -> str:
    """What the assembler says of registers and spills."""
    from triton.backends.nvidia.compiler import get_ptxas, sm_arch_from_capability

    source = folder / "kernel.ptx"
    source.write_text(assembly)
    architecture = f"--gpu-name={sm_arch_from_capability(capability)}"
    command = [get_ptxas(capability).path, "-v", architecture, str(source), "-o", os.devnull]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    return ", ".join(re.findall(r"\d+ bytes spill stores|\d+ registers", said))


def main() -> None:
    import tempfile

    capabilities = [int(word) for word in sys.argv[1:] if word.isdigit()]
    names = [word for word in sys.argv[1:] if not word.isdigit()]
    for case in cases():
        if names and case.name not in names:
            continue
        for capability in capabilities or (80, 90, 100):
            kernel = compiled(case, capability)
            with tempfile.TemporaryDirectory() as folder:
                found = resources(kernel.asm["ptx"], capability, Path(folder))
            said = f"{found}, bytes of shared memory {kernel.metadata.shared}"
            print(f"{case.name} sm_{capability}: {said}", flush=True)


if __name__ == "__main__":
    main()
