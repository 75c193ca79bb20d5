"""Puts our own measurement to the test, part by part: python tools/validate.py PART [--count N]

    coverage    what the intervals cover, by simulation                                          (1 minute)
    aa          one program under two names: how often that is called a difference               (about 20 minutes)
    power       a program slowed by 3 % and 5 %: how often that is found                         (about 20 minutes)
    disturbed   the same while a busy loop shares a core: no verdict may flip                    (about 15 minutes)
    agreement   our times against torch.utils.benchmark's, on the same call                      (2 minutes)
    faults      every fault that must be contained, as tests                                     (5 minutes)
    kills       comparisons and other writers stopped at random moments, by each ending signal     (hours)
    cheats      backends that gain by a lie: which are caught, and how large a lie passes        (15 minutes)
    honest      seven honest backends, quiet and beside two busy loops: nobody may be accused    (20 minutes)
    fuzz        damaged files of every kind that strangers send, ten thousand of each            (30 minutes)
    page        only writes the pages anew

Each part puts its result into results/reference/validation.json and writes docs/validation.md and docs/cheats.md from
all that are there. aa, power, disturbed, agreement, cheats and honest want a machine that does nothing else.
"""

import argparse
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from validation import agreement, cheats, cheats_page, faults, fuzz, honest, kills, pairs, simulation
from validation.page import write_page

from rnnbench import atomic
from rnnbench.machine.environment import machine

RESULTS = Path(__file__).resolve().parent.parent / "results" / "reference" / "validation.json"
SCHEMA = 1
# part -> what carries it out, and how many of what it repeats
PARTS: dict[str, tuple[Callable[[int], dict[str, Any]], int]] = {
    "coverage": (simulation.coverage, 4000),
    "aa": (pairs.aa, 100),
    "power": (pairs.power, 50),
    "disturbed": (pairs.disturbed, 10),
    "agreement": (agreement.agreement, 101),
    "faults": (faults.faults, 1),
    "kills": (kills.kills, 300),
    "cheats": (cheats.cheats, 3),
    "honest": (honest.honest, 50),
    "fuzz": (fuzz.fuzz, 10_000),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="+", choices=[*PARTS, "page"], metavar="PART")
    parser.add_argument("--count", type=int, help="repetitions, in place of the part's own number")
    parser.add_argument("--into", type=Path, default=RESULTS, help="instead of results/reference/validation.json")
    given = parser.parse_args()
    for part in given.parts:
        if part != "page":
            carry_out, count = PARTS[part]
            merge(given.into, part, carry_out(given.count or count))
    if given.into == RESULTS:
        found = json.loads(RESULTS.read_text(encoding="utf-8"))["parts"]
        write_page(found)
        cheats_page.write(found)


def merge(path: Path, part: str, result: dict[str, Any]) -> None:
    """Put one part's result beside the others', with when and on what it was found."""
    stored = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"schema": SCHEMA, "parts": {}}
    facts = machine()
    origin = {name: facts[name] for name in ("cpu", "cores", "commit", "python", "packages")}
    stored["parts"][part] = {"measured": datetime.now(UTC).date().isoformat(), **origin, **result}
    atomic.write(path, json.dumps(stored, indent=1, allow_nan=False) + "\n")


if __name__ == "__main__":
    main()
