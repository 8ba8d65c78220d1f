"""What `sam-label bench` prints."""

from typing import TYPE_CHECKING, Any

from jobs.wording import counted, duration, size

if TYPE_CHECKING:
    from pipeline.rates.estimate import Estimate


def bench_text(estimate: "Estimate", output: str) -> str:
    """The sample, each stage, and the whole run."""
    rates, pool = estimate.rates, estimate.pool
    tried = counted(rates.images + rates.failed, "image")
    first = f", and {_seconds(rates.first_s)} for the first images" if rates.first_s else ""
    lines = [
        f"{tried} of {estimate.sample.images:,}, one labeler {_device(estimate)}",
        *(_stage(stage, rates.an_image(total)) for stage, total in rates.seconds.items()),
        f"{'load':8}{_seconds(rates.load_s)} once{first}",
    ]
    if rates.failed:
        lines.append(f"{counted(rates.failed, 'image')} failed, and is left out of these figures")
    if not rates.images:
        return "\n".join([*lines, "next: another --seed, or more --images: none of these could be labelled"])
    masks, bytes_ = rates.an_image(rates.masks), rates.an_image(rates.output_bytes)
    whole = f"{counted(estimate.sample.images, 'image')} by {counted(pool.workers, 'labeler')}"
    gpu_hours = f", {estimate.gpu_hours:.1f} GPU hours" if pool.gpus else ""
    return "\n".join(
        [
            *lines,
            f"{masks:.1f} masks and {size(round(bytes_))} of output an image",
            f"estimate for {whole}: {duration(estimate.hours * 3600)} ({estimate.images_per_s:.2f} images/s"
            f"{gpu_hours}), {size(round(estimate.output_bytes))} in {output}",
            "next: sam-label run with the same options",
        ]
    )


def bench_figures(estimate: "Estimate") -> dict[str, Any]:
    """The same for programs; seconds and bytes of the stages are those of one image."""
    rates, pool = estimate.rates, estimate.pool
    return {
        "images": estimate.sample.images,
        "input_bytes": estimate.sample.size_bytes,
        "sample": rates.images,
        "sample_failed": rates.failed,
        "device": pool.device,
        "labelers": pool.workers,
        "threads": pool.threads,
        "load_s": rates.load_s,
        "first_s": rates.first_s,
        "stage_s": {stage: rates.an_image(total) for stage, total in rates.seconds.items()},
        "masks_an_image": rates.an_image(rates.masks),
        "output_bytes_an_image": rates.an_image(rates.output_bytes),
        "images_per_s": estimate.images_per_s,
        "hours": estimate.hours,
        "gpu_hours": estimate.gpu_hours,
        "output_bytes": estimate.output_bytes,
    }


def _device(estimate: "Estimate") -> str:
    return "on a GPU" if estimate.pool.gpus else f"of {counted(estimate.pool.threads, 'thread')} on the CPU"


def _stage(name: str, seconds: float) -> str:
    return f"{name:8}{_seconds(seconds)} an image"


def _seconds(seconds: float) -> str:
    """`4.52 s`, `310 ms`."""
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1e3:.3g} ms"
