"""Rooms are on floors: a higher room may import a lower one, never the other way round.

A room is a file or a folder of a package; a folder inside `pipeline/output/` is a room of its own.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# From the ground up; rooms of one floor do not import each other.
FLOORS = {
    "sam_core": [
        {"options", "arguments", "built_library", "cached"},
        {"masks", "model"},
        {
            "weights",
            "decoding",
            "crop_streams",
            "under_way",
            "windows",
            "label_map",
            "mask_data",
            "predictor",
        },
        {"option_attributes"},
        {"generator"},
        {"__init__"},
    ],
    "pipeline": [
        {"errors", "fork_locks", "program_log", "suggestion", "signals", "histogram", "progress"},
        {"shutdown", "kept_lines"},
        {"store"},
        {"containers", "pixel_reading"},
        {"config", "export_config", "output/format", "metrics"},
        {"cluster", "images", "weights", "output"},
        {"inputs"},
        {"labelling", "plan", "summary", "output/commands", "export", "reading", "doctor"},
        {"run", "rates", "report", "similarity", "statistics"},
    ],
    "jobs": [
        {"arguments", "wording", "printed", "kubernetes"},
        {
            "options",
            "progress",
            "run_text",
            "status_text",
            "watch_text",
            "export_text",
            "bench_text",
            "plan_text",
            "stats_text",
        },
        {"submission"},
        {
            "bench_command",
            "config_command",
            "dataset_commands",
            "doctor_command",
            "filter_command",
            "models_command",
            "plan_command",
            "preview_command",
            "run_command",
            "similar_command",
            "verbosity",
            "draw_command",
            "export_command",
            "rewrite_commands",
            "stats_command",
            "schedule_command",
            "submit_command",
        },
        {"cli"},
        {"entry"},
    ],
}
HEIGHTS = {
    (package, room): height
    for package, floors in FLOORS.items()
    for height, rooms in enumerate(floors)
    for room in rooms
}


def room_of(file: Path) -> tuple[str, str]:
    """Package and room of a source file, its path relative to the root."""
    package, *folders = file.with_suffix("").parts
    if folders[0] == "output" and len(folders) > 2:
        return package, "/".join(folders[:2])
    return package, folders[0]


def imported_files(file: Path) -> Iterator[tuple[int, Path]]:
    """Line and file of each import of our own packages, paths relative to the root."""
    for node in ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            path = Path(*name.split(".")).with_suffix(".py")
            if (ROOT / path).is_file():
                yield node.lineno, path


SOURCES = [path.relative_to(ROOT) for package in FLOORS for path in sorted((ROOT / package).rglob("*.py"))]


@pytest.mark.parametrize("file", SOURCES, ids=str)
def test_imports_lead_down(file: Path) -> None:
    here = room_of(file)
    if file.name == "__init__.py" and len(file.parts) > 2:
        assert list(imported_files(file)) == [], "a room's __init__.py is its docstring"
    assert file.name == "__init__.py" or here in HEIGHTS, f"{file}: give its room a floor in FLOORS"
    for line, imported in imported_files(file):
        there = room_of(imported)
        if there[0] == here[0] and there != here:
            assert HEIGHTS[there] < HEIGHTS[here], f"{file}:{line} imports {imported}, which stands no lower"
