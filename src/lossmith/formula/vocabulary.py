"""The words of the formula language: what a formula may call, with the arity and the meaning of each.

Every backend gives these words its own implementation (`vocabularies/`); a test holds all of them to this table.
`min`- and `max`-like words pass NaN on.
"""

from typing import Any, NamedTuple, TypeAlias

Real: TypeAlias = Any
"""What a formula computes with: a tensor, a number, a symbol, as the vocabulary has it."""

Reals: TypeAlias = tuple[Any, ...]
"""What a formula returns: the value and its derivatives."""


class Word(NamedTuple):
    """One function of the language."""

    arguments: str
    meaning: str

    @property
    def arity(self) -> int:
        return self.arguments.count(",") + 1


WORDS: dict[str, Word] = {
    "abs": Word("x", "|x|; slope 0 at 0"),
    "sign": Word("x", "-1, 0 or 1, and 0 of NaN; slope 0"),
    "step": Word("x", "1 where x is 0 or more, else 0, of NaN too; slope 0"),
    "sqrt": Word("x", "square root"),
    "exp": Word("x", "e to the x"),
    "expm1": Word("x", "e to the x, less 1, exact near 0"),
    "log": Word("x", "natural logarithm"),
    "log1p": Word("x", "log(1 + x), exact near 0"),
    "lgamma": Word("x", "logarithm of the absolute value of the gamma function"),
    "digamma": Word("x", "derivative of lgamma"),
    "sigmoid": Word("x", "1 / (1 + exp(-x)), relative accuracy in both tails, until it underflows"),
    "softplus": Word("x", "log(1 + exp(x)), relative accuracy in both tails, never overflows"),
    "minimum": Word("x, y", "the smaller one, NaN if either is NaN; slope 1 at a tie with a number, 1/2 with another"),
    "maximum": Word("x, y", "the larger one, NaN if either is NaN; slope 1 at a tie with a number, 1/2 with another"),
    "hinge": Word("x", "max(0, x) with slope 1 at 0 (torch's clamp_min)"),
    "relu": Word("x", "max(0, x) with slope 0 at 0"),
    "floor_at": Word("x, low", "max(x, low) whose slope is 1 everywhere (a clamp that gradients pass through)"),
    "where": Word("condition, x, y", "x where the condition holds, else y"),
    "product": Word("x, y", "x * y, and 0 (with slope 0) where x is 0 and y is infinite"),
    "xlogy": Word("x, y", "x * log(y), and 0 (with slope 0) where x is 0 and y is infinite or not above 0"),
    "log_probability": Word("p", "max(log(p), -100), with slope (1 - p) / max(p (1 - p), 1e-12): torch's convention"),
    "log_complement": Word("p", "max(log1p(-p), -100), with slope -p / max(p (1 - p), 1e-12): torch's convention"),
}
