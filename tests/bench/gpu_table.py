"""The figures of bench_gpu.py as a table, with their targets."""

from collections.abc import Iterator
from typing import Any

# targets for an H100: images a second in float16 at SA-1B's size
TARGETS = {"vit_h": "38, then 48", "vit_b": "61", "vit_t": "85"}
FIRST_TARGETS_S = {"empty": 15, "full": 3}
# Parity in a lossy precision: the least share of the original's masks that are matched, and how far the
# number of masks may be off over all images and in one image, and the predicted IoU of a matched mask.
LEAST_MATCHED, MOST_COUNT_OFF, MOST_COUNT_OFF_IN_ONE, MOST_IOU_OFF = 0.98, 0.02, 0.05, 0.002
HEADS = ("model", "size", "precision", "images/s", "asked", "peak GB", "busy", "original", "times")


def table(figures: dict[str, Any]) -> Iterator[str]:
    """The lines of the table, for the figures that there are."""
    yield from _parity(figures.get("parity", {}))
    for case, answer in figures.get("first", {}).items():
        asked_s = FIRST_TARGETS_S[case.split()[0]]
        found = answer if _is_fault(answer) else f"{answer} s, asked {asked_s}{_held(answer <= asked_s)}"
        yield f"first masks, {case.replace(' ', ' cache, ')}: {_shown(found)}"
    if rates := list(_rates(figures)):
        yield from _columns([HEADS, *rates])
    for name, piece in figures.items():
        if name.startswith("model"):
            yield from _listed(name, {case: answer for case, answer in piece.items() if "stages" in case})
        if name.startswith("sweep"):
            yield from _listed(name, piece)
    for name, piece in figures.items():
        for case, answer in piece.items() if isinstance(piece, dict) else ():
            if _is_fault(answer):
                yield f"FAILED: {name}, {case}: {answer['fault']}"
                yield from (f"    {line}" for line in answer["last_lines"].splitlines())


def _parity(answers: dict[str, Any]) -> Iterator[str]:
    for case, answer in answers.items():
        if _is_fault(answer):
            yield f"parity, {case}: {_shown(answer)}"
            continue
        if case.startswith("recorded"):
            matched = answer["matched"] / answer["recorded"]
            off = abs(answer["ours"] - answer["recorded"]) / answer["recorded"]
            iou_off, off_in_one = answer["predicted_iou_off"], None
            of = answer["recorded"]
        else:
            matched, of = answer["matched_share"], answer["exact"]
            off = abs(answer["lossy"] - answer["exact"]) / max(1, answer["exact"])
            iou_off, off_in_one = answer["largest_score_difference"], answer["largest_count_difference"]
        yield f"parity, {case}: of {of} masks"
        holds = matched >= LEAST_MATCHED
        yield f"    matched at IoU 0.99: {matched:.1%}, asked {LEAST_MATCHED:.0%}{_held(holds)}"
        holds = off <= MOST_COUNT_OFF
        yield f"    number of masks off by {off:.1%}, asked {MOST_COUNT_OFF:.0%}{_held(holds)}"
        if off_in_one is not None:
            holds = off_in_one <= MOST_COUNT_OFF_IN_ONE
            yield f"    in one image by {off_in_one:.1%}, asked {MOST_COUNT_OFF_IN_ONE:.0%}{_held(holds)}"
        yield f"    predicted IoU off by {iou_off:.4f}, asked {MOST_IOU_OFF}{_held(iou_off <= MOST_IOU_OFF)}"


def _rates(figures: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for name, piece in figures.items():
        if not name.startswith("model "):
            continue
        model = name.removeprefix("model ")
        original = figures.get(f"original {model}", {}).get("rate 3", {}).get("images_a_second")
        for case, answer in piece.items():
            kind, precision, size = case.split()
            if kind != "rate":
                continue
            rate = answer.get("images_a_second")
            busy = piece.get(f"busy {precision} {size}", {}).get("share")
            is_asked = precision == "float16" and size == "sa1b"
            yield (
                model,
                size,
                precision,
                _shown(answer) if rate is None else f"{rate:.2f}",
                TARGETS.get(model, "") if is_asked else "",
                f"{answer['peak_gb']:.2f}" if "peak_gb" in answer else "",
                f"{busy:.1%}" if busy else "",
                f"{original:.2f}" if original else "",
                f"{rate / original:.1f}" if original and rate else "",
            )


def _listed(name: str, answers: dict[str, Any]) -> Iterator[str]:
    """A line per result, sorted by milliseconds if there are any."""
    timed = {case: answer for case, answer in answers.items() if not _is_fault(answer)}
    for case, answer in sorted(timed.items(), key=lambda item: item[1].get("ms", 0.0)):
        yield f"{name}, {case}: " + ", ".join(f"{key} {value}" for key, value in answer.items())


def _columns(rows: list[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _held(holds: bool) -> str:
    return ": holds" if holds else ": DOES NOT HOLD"


def _is_fault(answer: Any) -> bool:
    return isinstance(answer, dict) and "fault" in answer


def _shown(answer: Any) -> str:
    return "failed" if _is_fault(answer) else str(answer)
