"""Numbers as people read them."""

from collections.abc import Mapping

from pipeline.store.uri import redacted


def counted(number: int, noun: str) -> str:
    """`1 image`, `12,580 images`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def size(size_bytes: int) -> str:
    """`585 kB`, `1.2 GB`."""
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if size_bytes >= factor:
            return f"{size_bytes / factor:.1f} {unit}"
    return f"{size_bytes / 1e3:.0f} kB"


def duration(seconds: float) -> str:
    """`0:42`, `1:03:20`."""
    minutes, second = divmod(round(seconds), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02}:{second:02}" if hour else f"{minute}:{second:02}"


def tallied(counts: Mapping[str, int]) -> str:
    """`3 .jpg, 1 .png`, the most frequent first."""
    most_first = sorted(counts.items(), key=lambda item: -item[1])
    return ", ".join(f"{count:,} {redacted(name)}" for name, count in most_first)
