"""A machine's A/A noise, measured once and kept: how far two processes of one program are apart on it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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
        if not isinstance(stored, Mapping):
            return None
        numbers = [stored.get(name) for name in ("value", "low", "high")]
        if not all(type(number) is float and 0 < number < math.inf for number in numbers):
            return None
        value, low, high = (float(number or 0) for number in numbers)
        processes = stored.get("processes")
        if not low <= value <= high or type(processes) is not int:
            return None
        return cls(Interval(value, low, high, processes), str(stored.get("measured", ""))[:10])
