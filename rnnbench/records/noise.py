"""A machine's A/A noise, measured once and kept: how far two processes of one program are apart on it."""

from dataclasses import dataclass
from typing import Any

from rnnbench.records.fields import Positive, Size, made
from rnnbench.records.statistics import Interval


@dataclass(frozen=True)
class KnownNoise:
    """The A/A noise that `rnnbench doctor --noise` measured on a machine, and when (a date)."""

    ratio: Interval
    measured: str

    def as_json(self) -> dict[str, Any]:
        ends = {"low": self.ratio.low, "high": self.ratio.high}
        return {"value": self.ratio.value, **ends, "processes": self.ratio.count, "measured": self.measured}

    @classmethod
    def from_json(cls, stored: Any) -> "KnownNoise | None":
        """Return None for whatever is not one: a run's facts may come from a stranger."""
        try:
            found = made(_StoredNoise, stored)
        except ValueError:
            return None
        if not found.low <= found.value <= found.high:
            return None
        return cls(Interval(found.value, found.low, found.high, found.processes), found.measured[:10])


@dataclass(frozen=True)
class _StoredNoise:
    value: Positive
    low: Positive
    high: Positive
    processes: Size
    measured: str = ""
