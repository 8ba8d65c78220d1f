"""`sam-label models`: lists the known weights, fetches them and checks their sha256."""

import json
import sys
from typing import Annotated

import typer

from jobs.arguments import JsonList
from jobs.options.short_help import ShortHelp, ShortHelpGroup
from jobs.progress import bytes_progress
from pipeline.errors import DatasetInvalid, UsageError
from pipeline.suggestion import suggestion

models = typer.Typer(cls=ShortHelpGroup, help="List, fetch and check SAM's weights.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="MODEL", help="vit_h, vit_l or vit_b.")]
From = Annotated[
    str | None,
    typer.Option(
        "--from", metavar="URL", help="Another URL of the same file or, if it ends in /, a mirror's folder."
    ),
]


@models.command("list", cls=ShortHelp)
def list_models(json_: JsonList = False) -> int:
    """List the known weights: architecture, size, licence and where they are on this machine."""
    from pipeline.weights.models import known_models

    rows = [
        {
            "model": model.checkpoint.model_type,
            "file": model.checkpoint.file_name,
            "size_bytes": model.checkpoint.size_bytes,
            "licence": model.checkpoint.licence,
            "place": model.place,
            "path": str(model.path) if model.path else None,
        }
        for model in known_models()
    ]
    if json_:
        print(json.dumps(rows))
        return 0
    for model in known_models():
        known = model.checkpoint
        size = f"{known.size_bytes / 1e6:5.0f} MB"
        print(f"{known.model_type}  {known.file_name:23} {size}  {known.licence}  {model.place}")
    print("next: sam-label models pull vit_h", file=sys.stderr)
    return 0


@models.command(cls=ShortHelp)
def pull(name: Name, source: From = None) -> int:
    """Fetch a model's official weights into the cache and check their sha256."""
    from pipeline.weights.models import known_models
    from pipeline.weights.models import pull as fetch

    names = sorted({model.checkpoint.model_type for model in known_models()})
    if name not in names:
        raise UsageError(f"there is no model {name}{suggestion(name, names)} (known: {', '.join(names)})")
    with bytes_progress(name) as progress:
        path = fetch(name, source, progress)
    print(path)
    # --model vit_t means the bundled weights, so the official file has to be named.
    option = f"--checkpoint {path}" if name == "vit_t" else f"--model {name}"
    print(f"next: sam-label run INPUT OUTPUT {option}", file=sys.stderr)
    return 0


@models.command(cls=ShortHelp)
def verify() -> int:
    """Compare the sha256 of the weights on this machine with the known ones; exit code 4 if one differs."""
    from pipeline.weights.models import known_models
    from sam_core.weights.files import sha256_of

    wrong = []
    for model in known_models():
        if model.path is not None:
            is_right = sha256_of([model.path]) == model.checkpoint.sha256
            print(f"{model.checkpoint.model_type}  {model.path}  {'ok' if is_right else 'DAMAGED'}")
            wrong += [] if is_right else [str(model.path)]
    if wrong:
        raise DatasetInvalid(f"not the official weights: {', '.join(wrong)}; delete and pull again")
    return 0
