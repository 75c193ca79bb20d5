"""What was found about one property, and the measurements it was found by."""

from dataclasses import dataclass

from rnnbench.workers.messages import MaybeNaN


@dataclass(frozen=True)
class PropertyResult:
    """figure: the measurement that came closest to its tolerance, or went furthest past it; both None where there is
    nothing to measure. ok: None for a property that was not judged. reason: why not, what broke, or where the figure
    comes from."""

    property: str
    ok: bool | None
    figure: MaybeNaN | None = None
    tolerance: float | None = None
    reason: str = ""

    def __str__(self) -> str:
        verdict = {True: "ok", False: "FAILED", None: "not judged"}[self.ok]
        figure = "" if self.figure is None else f" {self.figure:.2g} (allowed: {self.tolerance:g})"
        return f"{self.property}: {verdict}{figure}{'; ' if self.reason else ''}{self.reason}"


@dataclass(frozen=True)
class Measure:
    """error: never NaN; what cannot be compared is BrokenPromise."""

    what: str
    error: float
    tolerance: float

    @property
    def ok(self) -> bool:
        return self.error <= self.tolerance

    @property
    def excess(self) -> float:
        """Return the error in units of its tolerance."""
        if self.tolerance > 0:
            return self.error / self.tolerance
        return float("inf") if self.error > 0 else 0.0


class BrokenPromise(Exception):
    """A promise broken in a way that has no measure; the message says how."""
