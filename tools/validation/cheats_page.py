"""docs/cheats.md, from what `cheats` and `honest` found. Every figure on the page is one of theirs."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rnnbench.report import markdown
from validation.cheats import CAUGHT, IN_VAIN, TOLD, UNNOTICED
from validation.honest import SEVEN, SURROUNDINGS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "cheats.md"
HEAD = """# Lies that would make a winner

Written by `python tools/validate.py cheats honest`; nothing here is typed in by hand.

A backend can gain without being faster: by a cache, a thread left running, a rounded weight. Each of these lies is
plausible by accident, and each is told here by a backend that is right else (`tests/plugins/dishonest.py`), from the
boldest strength to the smallest. One that is caught has no figures in any table: its row is a mismatch and says why.

**What stays outside** is malice. A plugin runs with its user's rights: one that knows this program, and replaces its
functions, looks at the caller's stack, reads the run's folder or writes to other processes' memory, can make any figure
it likes. Nor is an output better than its tolerance: what rounding may do to an honest backend, another may do too.
"""
NOT_YET = "\nNot measured yet.\n"
Part = Mapping[str, Any]


def write(parts: Mapping[str, Part]) -> None:
    PAGE.write_text(text(parts), encoding="utf-8")


def text(parts: Mapping[str, Part]) -> str:
    """Return the page."""
    return "\n".join([HEAD, *_lies(parts.get("cheats")), "", *_honest(parts.get("honest"))]).rstrip() + "\n"


def promises(parts: Mapping[str, Part]) -> Iterator[tuple[str, str | None, bool | None]]:
    """Yield what is promised of lies and of honest backends, what was found, and whether that keeps it."""
    told, all_told = parts.get("cheats"), "every lie is caught where it is boldest, or gains nothing"
    if told is None:
        yield all_told, None, None
    else:
        held = sum(outcome(lie["rows"][0]) != UNNOTICED for lie in told["lies"])
        yield all_told, f"{held} of {len(told['lies'])}", held == len(told["lies"])
    part, nobody = parts.get("honest"), f"{len(SEVEN)} honest backends, 50 comparisons {' and 50 '.join(SURROUNDINGS)}"
    if part is None:
        yield f"{nobody}: nobody is accused", None, None
    else:
        accused = [len(part[surroundings]["accused"]) for surroundings in SURROUNDINGS]
        yield f"{nobody}: nobody is accused", f"{' and '.join(map(str, accused))} accusations", not any(accused)


def outcome(row: Part) -> str:
    """Return the worst of what became of a lie in one strength."""
    return next(verdict for verdict in (UNNOTICED, TOLD, IN_VAIN, CAUGHT) if row["verdicts"].get(verdict))


def _lies(part: Part | None) -> Iterator[str]:
    yield "## Which are caught\n"
    if part is None:
        yield NOT_YET
        return
    yield (
        f"Each in {part['count']} comparisons. *In vain*: it never came to an answer that was kept or a clock that was"
        " read, and the row's figures are true. Where some work was left out unnoticed, its share is told.\n"
    )
    lines = [
        [lie["what"], _named(lie, CAUGHT), _named(lie, IN_VAIN), _named(lie, TOLD, UNNOTICED)] for lie in part["lies"]
    ]
    yield markdown.table(("the lie", "caught", "in vain", "unnoticed"), lines, left=range(4))
    yield "\n## What their rows say\n"
    said = (
        (lie["what"], next((row["sentence"] for row in lie["rows"] if row["sentence"]), "")) for lie in part["lies"]
    )
    yield markdown.table(
        ("the lie", "reason"), ([what, markdown.escape(why)] for what, why in said if why), left=range(2)
    )


def _named(lie: Part, *wanted: str) -> str:
    """Return the strengths whose worst outcome is one of those wanted."""
    found = []
    for row in lie["rows"]:
        if outcome(row) in wanted:
            total, same = sum(row["verdicts"].values()), row["verdicts"][outcome(row)]
            notes = [f"{same} of {total}"] if same < total else []
            notes += [f"leaves out {row['left_out']:.0%}"] if lie["saves"] and outcome(row) == UNNOTICED else []
            found.append(row["strength"] + (f" ({', '.join(notes)})" if notes else ""))
    return "; ".join(found) or "–"


def _honest(part: Part | None) -> Iterator[str]:
    yield "## And those that are honest\n"
    if part is None:
        yield NOT_YET
        return
    yield f"{', '.join(part['backends'])}: a GRU trained for {part['steps']} steps, checked and timed together.\n"
    lines = []
    for surroundings in SURROUNDINGS:
        own = part[surroundings]
        accused = "; ".join(f"{one['backend']}: {markdown.escape(one['sentence'])}" for one in own["accused"])
        lines.append([surroundings, str(part["count"]), f"{own['seconds']:.1f} s", accused or "nobody"])
    yield markdown.table(("machine", "comparisons", "each took", "accused"), lines, left=(0, 3))
