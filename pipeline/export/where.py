"""`--where`: which masks are exported, as comparisons. The text is parsed, never run as code.

    predicted_iou > 0.9 and (area_share < 0.5 or stability >= 0.97)

`or` binds weaker than `and`; columns of an image apply to all of its masks.
"""

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.errors import UsageError
from pipeline.suggestion import suggestion
from sam_core.masks.image_masks import ImageMasks

Chosen_N = npt.NDArray[np.bool_]  # for each mask of an image whether it is exported
Where = Callable[[ImageMasks], Chosen_N]


def _pixels(masks: ImageMasks) -> int:
    return max(masks.height * masks.width, 1)


COLUMNS: dict[str, Callable[[ImageMasks], Any]] = {
    "predicted_iou": lambda masks: masks.predicted_iou,
    "stability": lambda masks: masks.stability_score,
    "stability_score": lambda masks: masks.stability_score,
    "area": lambda masks: masks.area,
    "area_share": lambda masks: masks.area / _pixels(masks),
    "num_masks": len,
    "width": lambda masks: masks.width,
    "height": lambda masks: masks.height,
    "status": lambda masks: "ok",  # failed images have no masks to choose from
}
_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "=": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
}
_TOKEN = re.compile(
    r"""\s*(?: (?P<number>[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?) | (?P<word>[A-Za-z_]\w*)
    | (?P<operator><=|>=|==|!=|<|>|=) | (?P<bracket>[()]) | (?P<text>"[^"]*"|'[^']*') | (?P<end>$) )""",
    re.VERBOSE,
)
_DEEPEST = 50  # nested brackets; deeper nesting is a mistake, and would exhaust Python's stack


def parsed_where(text: str) -> Where:
    """The filter that the text describes. Raises: UsageError, which says what is wrong and where."""
    return _Parser(text).whole()


@dataclass
class _Token:
    kind: str
    text: str
    place: int


class _Parser:
    """One method for each rule of the grammar, from the weakest binding to the strongest."""

    def __init__(self, text: str) -> None:
        self.text, self.depth = text, 0
        self.tokens = self._tokens()

    def whole(self) -> Where:
        where = self._any_of()
        if self.tokens[0].kind != "end":
            raise self._fault("expected 'and', 'or' or the end")
        return where

    def _any_of(self) -> Where:
        where = self._all_of()
        while self._takes("or"):
            where = _joined(np.logical_or, where, self._all_of())
        return where

    def _all_of(self) -> Where:
        where = self._one()
        while self._takes("and"):
            where = _joined(np.logical_and, where, self._one())
        return where

    def _one(self) -> Where:
        if not self._takes("("):
            return self._comparison()
        self.depth += 1
        if self.depth > _DEEPEST:
            raise self._fault(f"more than {_DEEPEST} nested brackets")
        where = self._any_of()
        if not self._takes(")"):
            raise self._fault("expected ')'")
        self.depth -= 1
        return where

    def _comparison(self) -> Where:
        if self.tokens[0].text not in COLUMNS:
            hint = suggestion(self.tokens[0].text, COLUMNS) or f" (columns: {', '.join(COLUMNS)})"
            raise self._fault(f"expected a column{hint}")
        name = self.tokens.pop(0).text
        if self.tokens[0].kind != "operator":
            raise self._fault(f"expected one of {' '.join(_OPERATORS)}")
        compare = self.tokens.pop(0).text
        wanted = "text" if name == "status" else "number"
        if self.tokens[0].kind != wanted:
            raise self._fault(f"expected a {wanted}" + (' such as "ok"' if wanted == "text" else ""))
        if wanted == "text" and compare not in ("=", "==", "!="):
            raise self._fault(f"{name} can only be compared by = or !=")
        given = self.tokens.pop(0).text
        return _compared(
            COLUMNS[name], _OPERATORS[compare], given[1:-1] if wanted == "text" else float(given)
        )

    def _takes(self, word: str) -> bool:
        is_next = self.tokens[0].text.lower() == word
        if is_next:
            self.tokens.pop(0)
        return is_next

    def _tokens(self) -> list[_Token]:
        tokens: list[_Token] = []
        place = 0
        while not tokens or tokens[-1].kind != "end":
            match = _TOKEN.match(self.text, place)
            if match is None:
                self.tokens = [_Token("", self.text[place:].lstrip(), place)]
                raise self._fault("it cannot be read")
            kind = str(match.lastgroup)
            tokens.append(_Token(kind, match[kind], match.start(kind)))
            place = match.end()
        return tokens

    def _fault(self, expected: str) -> UsageError:
        token = self.tokens[0]
        here = f"at {self.text[token.place :][:20]!r}" if token.text else "at its end"
        return UsageError(f"--where is {self.text!r}: {here} {expected}")


def _compared(column: Callable[[ImageMasks], Any], compare: Callable[[Any, Any], Any], given: Any) -> Where:
    return lambda masks: np.broadcast_to(np.asarray(compare(column(masks), given), bool), (len(masks),))


def _joined(join: Callable[[Chosen_N, Chosen_N], Any], left: Where, right: Where) -> Where:
    return lambda masks: join(left(masks), right(masks))
