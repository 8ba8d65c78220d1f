"""Every kernel of the encoders and the resize compiles for the GPUs that it may meet, without one at hand.

As a script (`python <this file> 80 90 100`) it compiles all cases for these and prints registers, spills in
bytes and shared memory; with the word `quick` one case a kernel, which is what
tests/unit/sam_core/test_kernels_compile.py asks for.
"""

import re
import subprocess
import sys
import tempfile

NUMBERS = ("eps", "scale", "factor")  # floats among the arguments
ALIGNED = ("C", "T", "H", "W")  # multiples of 16 in the published encoders, as memory and strides are


def main() -> None:
    """Compiles everything for the capabilities named on the command line."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource, compile

    quick = "quick" in sys.argv
    for capability in (int(word) for word in sys.argv[1:] if word.isdigit()):
        seen = set()
        for name, kernel, pointers, constants, options in cases():
            if quick and kernel in seen:
                continue
            seen.add(kernel)
            signature = {}
            for argument in kernel.arg_names:
                number = "fp32" if argument in NUMBERS else "i32"
                signature[argument] = f"*{pointers[argument]}" if argument in pointers else number
                if argument in constants:
                    signature[argument] = "constexpr"
            aligned = {
                (index,): [["tt.divisibility", 16]]
                for index, argument in enumerate(kernel.arg_names)
                if argument in pointers
                or "stride" in argument
                or (argument in ALIGNED and not constants.get(argument))
            }
            source = ASTSource(fn=kernel, signature=signature, constexprs=constants, attrs=aligned)
            built = compile(source, target=GPUTarget("cuda", capability, 32), options=options)
            print(f"sm_{capability} {name}: {usage(built, capability)} shared {built.metadata.shared}")


def cases():  # type: ignore[no-untyped-def]
    """Name, kernel, dtypes of pointers, constants, options: as the published encoders launch them."""
    from sam_core.model.triton import (
        depthwise_convolution,
        first_convolution,
        gelu,
        global_attention,
        layer_norm,
        relative_positions,
        resize,
        window_attention,
    )
    from sam_core.model.triton.pillow_taps import FIXED_BITS, HALF

    fixed = {"HALF": HALF, "BITS": FIXED_BITS, "BLOCK_Y": resize.BLOCK_Y, "BLOCK_J": resize.BLOCK_X}
    resized = {"image": "u8", "out": "u8", "table": "i32"}
    yield "resize columns", resize.resize_columns_kernel, resized, fixed, {}
    yield "resize rows", resize.resize_rows_kernel, resized, fixed, {}
    planes = {"image": "u8", "mean": "fp32", "std": "fp32", "out": "fp32"}
    blocks = {"BLOCK_Y": resize.BLOCK_Y, "BLOCK_X": resize.BLOCK_X}
    yield "normalise", resize.normalise_kernel, planes, blocks, {}

    for half in ("fp16", "bf16"):
        for C in (1280, 320):
            block = 1 << (C - 1).bit_length()
            rows = max(1, layer_norm.BLOCK_VALUES // block)
            norm = {"x": "fp32", "y": half, "weight": "fp32", "bias": "fp32", "out": half}
            constants = {"ADD": True, "COPY": True, "ROWS": rows, "BLOCK": block, "COPY_BLOCK": 4096}
            copied = {"source": half, "target": half}
            options = {"num_warps": layer_norm.WARPS}
            yield f"layer norm {C} {half}", layer_norm.layer_norm_kernel, norm | copied, constants, options
        for D, pieces in ((80, (64, 16)), (64, (64, 0))):
            head = {"D": D, "D1": pieces[0], "D2": pieces[1]}
            read = {"qkv": half, "out": half}
            terms = {"D": D, "D_BLOCK": 128 if D > 64 else 64, "KEYS": 16, "LINE": 64}
            yield (
                f"position terms {D} {half}",
                relative_positions.position_terms_kernel,
                {"qkv": half, "tables": half, "out": "fp16"},
                terms,
                {"num_warps": relative_positions.WARPS},
            )
            yield (
                f"position terms of the map {D} {half}",
                relative_positions.position_terms_kernel,
                {"qkv": half, "tables": half, "out": "fp16"},
                terms | {"KEYS": 64},
                {"num_warps": relative_positions.WARPS},
            )
            yield (
                f"window attention {D} {half}",
                window_attention.window_attention_kernel,
                read | {"positions": "fp16"},
                head | {"S": 14, "K": 16, "DENSE": False, "M": 64, "N": 64, "TAIL": 16},
                {"num_warps": window_attention.WARPS, "num_stages": window_attention.STAGES},
            )
            yield (
                f"global attention {D} {half}",
                global_attention.global_attention_kernel,
                read | {"terms": "fp16"},
                head | {"W": 64, "M": global_attention.QUERIES},
                {"num_warps": global_attention.WARPS, "num_stages": global_attention.STAGES},
            )
        for S, K, tail in ((7, 64, 64), (14, 208, 16)):
            constants = {"S": S, "D": 32, "D1": 32, "D2": 0, "K": K, "DENSE": True, "M": 64, "N": 64}
            yield (
                f"window attention with bias {S} {half}",
                window_attention.window_attention_kernel,
                {"qkv": half, "out": half, "positions": "fp16"},
                constants | {"TAIL": tail},
                {"num_warps": window_attention.WARPS, "num_stages": window_attention.STAGES},
            )
        yield (
            f"first convolution {half}",
            first_convolution.first_convolution_kernel,
            {"image": "fp32", "taps": half, "bias": "fp32", "out": half},
            {"WIDTH": 32, "BLOCK": first_convolution.PLACES},
            {"num_warps": first_convolution.WARPS},
        )
        for stride, gelu_too in ((1, False), (1, True), (2, True)):
            yield (
                f"depthwise convolution {stride} {gelu_too} {half}",
                depthwise_convolution.depthwise_convolution_kernel,
                {"x_in": half, "taps": "fp32", "bias": "fp32", "out": half},
                {"STRIDE": stride, "GELU": gelu_too, "BLOCK_X": 32, "BLOCK_C": 64},
                {"num_warps": depthwise_convolution.WARPS},
            )
        yield (
            f"GELU of a sum {half}",
            gelu.gelu_of_sum_kernel,
            {"a": half, "b": half, "out": half},
            {"BLOCK": gelu.BLOCK},
            {},
        )


def usage(built, capability: int) -> str:  # type: ignore[no-untyped-def]
    """Registers and spills as the assembler tells them."""
    from triton import knobs

    with tempfile.NamedTemporaryFile(suffix=".ptx", mode="w") as ptx:
        ptx.write(built.asm["ptx"])
        ptx.flush()
        tool = knobs.nvidia.ptxas_blackwell if capability >= 100 else knobs.nvidia.ptxas
        arch = f"sm_{capability}{'a' if capability >= 90 else ''}"
        said = subprocess.run(
            [tool.path, "-v", f"--gpu-name={arch}", "-o", "/dev/null", ptx.name],
            capture_output=True,
            text=True,
        ).stderr
    registers, spills = re.search(r"Used (\d+) registers", said), re.search(r"(\d+) bytes spill stores", said)
    assert registers
    assert spills
    return f"registers {registers[1]} spills {spills[1]}"


if __name__ == "__main__":
    main()
