"""A folder of modules that must not be imported: each one writes its name to a file."""

from pathlib import Path

LIBRARIES = [
    "numpy",
    "PIL",
    "torch",
    "ray",
    "pyarrow",
    "fsspec",
    "s3fs",
    "typer",
    "pydantic",
    "yaml",
    "pipeline",
    "sam_core",
    "sam_core/model",
]
STANDARD = ["json", "resource", "token", "inspect", "logging", "socket", "random", "queue", "struct"]
MODULES = [*LIBRARIES, *STANDARD]
# Modules that Python imports from PYTHONPATH before any line of ours can run.
AT_START = ["types", "sitecustomize", "usercustomize", "jobs", "jobs/cli"]


def plant(dataset: Path, modules: list[str], ran: Path) -> None:
    """Puts the modules into the folder; each that is imported adds its name to the file `ran`."""
    for name in modules:
        trap = f"with open({str(ran)!r}, 'a') as ran: ran.write('{name}\\n')\n"
        (dataset / name).mkdir(parents=True)
        (dataset / name / "__init__.py").write_text(trap)
        (dataset / f"{name}.py").write_text(trap)
