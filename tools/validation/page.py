"""docs/validation.md, from what the parts found. Every figure on the page is one of theirs."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rnnbench import atomic
from rnnbench.records import statistics
from rnnbench.report import markdown
from validation import cheats_page
from validation.kills import WRITERS
from validation.pairs import MOST_SECONDS
from validation.slowed import AGAIN

PAGE = Path(__file__).resolve().parents[2] / "docs" / "validation.md"
HEAD = """# What the figures are worth

Written by `python tools/validate.py`, which measures all of it; nothing here is typed in by hand.
"""
NOT_YET = "not measured yet"
Parts = Mapping[str, Mapping[str, Any]]
Line = tuple[str, str, bool | None]  # promise, what was found, whether that keeps it


def write_page(parts: Parts) -> None:
    sections = [HEAD, *_promises(parts), *_rule(), *_coverage(parts), *_comparisons(parts), *_agreement(parts)]
    sections += [*_kills(parts), *_fuzz(parts), *_origins(parts)]
    atomic.write(PAGE, "\n".join(sections).rstrip() + "\n")


def promises(parts: Parts) -> Iterator[Line]:
    """Yield everything that is promised of a measurement, and what was found."""
    yield from _of_aa(parts.get("aa"))
    yield from _of_power(parts.get("power"))
    yield from _of_disturbed(parts.get("disturbed"))
    yield from _of_agreement(parts.get("agreement"))
    yield from _of_faults(parts.get("faults"))
    yield from _of_kills(parts.get("kills"))
    yield from ((promise, found or NOT_YET, kept) for promise, found, kept in cheats_page.promises(parts))
    yield from _of_fuzz(parts.get("fuzz"))


def _promises(parts: Parts) -> Iterator[str]:
    marks = {True: "yes", False: "**no**", None: "–"}
    rows = [(promise, found, marks[kept]) for promise, found, kept in promises(parts)]
    yield _table(("promise", "found", "kept"), rows)


def _of_aa(part: Mapping[str, Any] | None) -> Iterator[Line]:
    promise = (
        "numba against itself, 100 comparisons: at most 9 intervals exclude 1, at most 1 is called faster or slower"
    )
    if part is None:
        yield promise, NOT_YET, None
        return
    called = part["words"].get("faster", 0) + part["words"].get("slower", 0)
    found = f"{part['exclude_one']} exclude 1, {called} called so, of {part['count']}"
    yield promise, found, part["exclude_one"] <= 0.09 * part["count"] and called <= 0.01 * part["count"]
    yield _in_time(part)


def _of_power(part: Mapping[str, Any] | None) -> Iterator[Line]:
    five, three = "slowed by 5 %: called slower in 45 of 50", "slowed by 3 %: the interval excludes 1 in 35 of 50"
    if part is None:
        yield from ((five, NOT_YET, None), (three, NOT_YET, None))
        return
    each = part["count"] // 2
    called = part["words"]["numba-slowed-5"].get("faster", 0)
    yield five, f"{called} of {each}", called >= 0.9 * each
    excluded = part["exclude_one"]["numba-slowed-3"]
    yield three, f"{excluded} of {each}", excluded >= 0.7 * each
    yield _in_time(part)


def _in_time(part: Mapping[str, Any]) -> Line:
    longest = part["longest_seconds"]
    promise = f"each comparison within {MOST_SECONDS:g} s, the start of its ten processes included"
    return promise, f"{part['seconds']:.1f} s, at most {longest:.1f} s", longest <= MOST_SECONDS


def _of_disturbed(part: Mapping[str, Any] | None) -> Iterator[Line]:
    promise = "while a busy loop shares a core, no verdict flips from faster to slower"
    if part is None:
        yield promise, NOT_YET, None
        return
    flipped = sum(words.get("slower", 0) for words in part["words"].values())
    yield promise, f"{flipped} of {part['count']}", flipped == 0


def _of_agreement(part: Mapping[str, Any] | None) -> Iterator[Line]:
    promise = "medians within 3 % of torch.utils.benchmark's on the same call, interleaved"
    if part is None:
        yield promise, NOT_YET, None
        return
    worst = max((row["difference"] for row in part["rows"]), key=abs)
    yield promise, f"{100 * worst:+.1f} % at worst, of {len(part['rows'])} calls", abs(worst) <= 0.03


def _of_faults(part: Mapping[str, Any] | None) -> Iterator[Line]:
    promise = "every fault is contained"
    if part is None:
        yield promise, NOT_YET, None
        return
    contained, clauses = part["contained"], part["clauses"]
    yield promise, f"{contained} of {clauses}", contained == clauses


def _of_kills(part: Mapping[str, Any] | None) -> Iterator[Line]:
    for name, what in (("SIGINT", "300 Ctrl-C at random moments"), ("SIGKILL", "300 outright kills of the parent")):
        promise = f"{what}: nothing acknowledged is lost, nothing is left behind"
        if part is None:
            yield promise, NOT_YET, None
        else:
            wrong = len(part[name]["wrong"])
            yield promise, f"{part['count'] - wrong} of {part['count']}", wrong == 0
    for name in sorted({"SIGTERM", "SIGHUP", *WRITERS} & (part or {}).keys()):
        assert part is not None
        wrong = len(part[name]["wrong"])
        promise = (
            f"{part['count']} stops of `{name}`" if name in WRITERS else f"{part['count']} {name} at random moments"
        )
        done = f"{part['count'] - wrong} of {part['count']}"
        yield f"{promise}: nothing is half written, nothing is left behind", done, wrong == 0


def _of_fuzz(part: Mapping[str, Any] | None) -> Iterator[Line]:
    promise = "10,000 damaged files of each kind: a right result or one line, in bounded time and memory"
    if part is None:
        yield promise, NOT_YET, None
        return
    wrong = sum(kind["wrong"] for kind in part["kinds"].values())
    count = part["count"] * len(part["kinds"])
    yield promise, f"{count - wrong} of {count}", wrong == 0


def _rule() -> Iterator[str]:
    yield "\n## When we say faster\n"
    yield inspect.cleandoc(statistics.verdict.__doc__ or "")
    yield (
        f"\nThe minimum effect is the worst end of the machine's own A/A noise, and at least"
        f" {statistics.SMALLEST_EFFECT:.0%}. A ratio is formed within rounds; a process counts with the median of its"
        " rounds; the interval is Student's t over processes. A score beats another one where Student's t over seeds,"
        " paired, says so after Holm's correction over all pairs of the table."
    )


def _coverage(parts: Parts) -> Iterator[str]:
    part = parts.get("coverage")
    if part is None:
        return
    yield "\n## What a 95 % interval covers\n"
    yield f"By simulation, {part['count']} runs each: the share of intervals that hold the true mean.\n"
    rows = [
        (row["law"], str(row["processes"]), f"{100 * row['t']:.1f} %", f"{100 * row['bootstrap']:.1f} %")
        for row in part["rows"]
    ]
    yield _table(("law of a process", "processes", "ours (t)", "percentile bootstrap"), rows)
    yield "\nScores of cells that are alike, five seeds: how often the best one is said to beat another.\n"
    rows = [
        (str(family["cells"]), f"{100 * family['holm']:.1f} %", f"{100 * family['plain']:.1f} %")
        for family in part["families"]
    ]
    yield _table(("cells", "ours (Holm)", "uncorrected"), rows)


def _comparisons(parts: Parts) -> Iterator[str]:
    names = [name for name in ("aa", "power", "disturbed") if name in parts]
    if not names:
        return
    yield "\n## Comparisons whose result is known\n"
    rows = []
    for name in names:
        part = parts[name]
        words = {AGAIN: part["words"]} if name == "aa" else part["words"]
        for other, counts in words.items():
            said = ", ".join(f"{word} {count}" for word, count in sorted(counts.items()))
            spread, least = f"{100 * part['spread']:.1f} %", f"{100 * part['least']:.1f} %"
            rows.append((f"numba against {other}", said, spread, least))
    yield _table(("comparison", "numba is", "spread of a process", "minimum effect"), rows)
    yield "\nThe spread is the standard deviation of a process's log ratio, the median over comparisons."


def _agreement(parts: Parts) -> Iterator[str]:
    part = parts.get("agreement")
    if part is None:
        return
    yield f"\n## Against another timer\n\nMedians of {part['count']} samples each, interleaved in one"
    yield "process; the difference is the median of the rounds'.\n"
    rows = [
        (
            f"{row['backend']}, batch {row['batch']}, {row['steps']} steps",
            f"{row['ours'] * 1e6:.1f}",
            f"{row['theirs'] * 1e6:.1f}",
            f"{100 * row['difference']:+.2f} %",
        )
        for row in part["rows"]
    ]
    yield _table(("call", "ours, µs", "torch.utils.benchmark, µs", "difference"), rows)


def _kills(parts: Parts) -> Iterator[str]:
    part = parts.get("kills")
    if part is None:
        return
    yield "\n## Stopped at a random moment\n"
    rows = []
    for name, what in (("SIGINT", "Ctrl-C"), ("SIGKILL", "killed outright")):
        stored = ", ".join(f"{groups} groups: {count}" for groups, count in part[name]["stored"].items())
        rows.append((what, stored, "; ".join(part[name]["wrong"]) or "nothing"))
    yield _table(("how", "found afterwards", "wrong"), rows)


def _fuzz(parts: Parts) -> Iterator[str]:
    part = parts.get("fuzz")
    if part is None:
        return
    yield f"\n## Files from strangers\n\n{part['count']} files of each kind, sound ones whose structure is damaged; the"
    yield "seal, where there is one, is made anew, and all is done with them that a user does.\n"
    rows = [
        (kind, str(found["ends"].get("read", 0)), str(found["ends"].get("refused", 0)), "; ".join(found["first"]))
        for kind, found in part["kinds"].items()
    ]
    yield _table(("kind", "read", "refused in one line", "wrong"), [(*row[:3], row[3] or "nothing") for row in rows])


def _origins(parts: Parts) -> Iterator[str]:
    yield "\n## Where and when\n"
    rows = [
        (name, part["measured"], f"{part['cpu']}, {part['cores']} cores", part["commit"][:7])
        for name, part in sorted(parts.items())
    ]
    yield _table(("part", "measured", "machine", "commit"), rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(markdown.row(cell.replace("|", "\\|") for cell in line) for line in lines)
