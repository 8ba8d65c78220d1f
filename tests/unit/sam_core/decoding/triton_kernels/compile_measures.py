"""The kernels of measures, selection and edges compile for a GPU that is not here, and fit its registers.

As a script, for every GPU: python tests/unit/sam_core/decoding/triton_kernels/compile_measures.py; with the
word `quick` some of them for an H100, as tests/unit/sam_core/test_kernels_compile.py asks for.
"""

import json
import sys
from typing import Any

NUMBERS = {
    "sums": "mask_step row_step H W L M strips groups segments segments_here",
    "columns": "N H W",
    "selected": "N most_px x0 y0 x1 y1 image_width image_height capacity",
    "edges": "mask_step row_step room H W L M segments left top image_width image_height",
}
TAPS = {"row_start": "*i32", "row_first": "*i32", "column_first": "*i32"}
TAPS |= {"row_weights": "*fp32", "column_weights": "*fp32"}
FLOATS = dict.fromkeys(("low", "mid", "high", "least_iou", "least_stability", "cut"), "fp32")
POINTERS = {"sums": "*i32", "predicted_iou": "*fp32", "point_index": "*i64", "out": "*fp64", "kept": "*i32"}
POINTERS |= {"measures": "*fp64", "nms_thresh": "*fp64", "count": "*i32", "counts": "*i32", "places": "*i32"}


def compiled(name: str, capability: int, constants: dict[str, Any], logits: str, ends: str = "*i64") -> Any:
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from sam_core.decoding.triton import edges, measures, selection

    blocks = {"SEGMENT": 30, "COLUMNS": measures.COLUMNS, "ROWS": measures.ROWS, "EDGE_PX": 20}
    kernel, options = {
        "sums": (measures._sums, {"num_warps": 1, "maxnreg": measures.REGISTERS}),
        "columns": (measures._columns, {}),
        "selected": (selection._selected, {"num_warps": selection.WARPS}),
        "edges": (edges._edges, {"num_warps": 1}),
    }[name]
    types = {**TAPS, **FLOATS, **POINTERS, **dict.fromkeys(NUMBERS[name].split(), "i32")}
    types |= {"logits": logits, "ends": ends}
    constants = {key: value for key, value in {**blocks, **constants}.items() if key in kernel.arg_names}
    signature = {key: "constexpr" if key in constants else types[key] for key in kernel.arg_names}
    aligned = {
        (place,): [["tt.divisibility", 16]]
        for place, key in enumerate(kernel.arg_names)
        if signature[key].startswith("*")
    }
    source = ASTSource(kernel, signature, constants, aligned)
    return triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)


def compile_all(
    capability: int, logits_types: list[str], most_masks: list[int], writes: list[bool]
) -> list[dict[str, Any]]:
    """Bytes of shared memory of each kernel; one that does not compile raises."""
    found = []
    for logits in logits_types:
        work: list[tuple[str, dict[str, Any], str]] = [("sums", {"STRIP": 64}, "*i64")]
        work += [("edges", {"STRIP": 32, "WRITE": write}, "*i64" if write else "*i32") for write in writes]
        for name, constants, ends in work:
            kernel = compiled(name, capability, constants, logits, ends)
            found.append({"kernel": f"{name} {logits} {constants}", "shared": kernel.metadata.shared})
    for block in most_masks:
        kernel = compiled("selected", capability, {"BLOCK": block}, "*fp32")
        found.append({"kernel": f"selected {block}", "shared": kernel.metadata.shared})
    kernel = compiled("columns", capability, {"BLOCK": 256}, "*fp32")
    return [*found, {"kernel": "columns", "shared": kernel.metadata.shared}]


def main() -> None:
    if "quick" in sys.argv:
        print(json.dumps(compile_all(90, ["*fp32"], [4096], [True])))
        return
    for capability in (80, 90, 100):
        for kernel in compile_all(capability, ["*fp32", "*fp16"], [64, 4096, 8192], [False, True]):
            print(capability, kernel)


if __name__ == "__main__":
    main()
