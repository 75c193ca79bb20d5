"""What a baseline promises, on small problems of every kind that it suits: right shapes, finite answers that follow
from a sequence's past alone, the same for the same seed."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

import numpy as np

from rnnbench.baselines.spec import Baseline, Problem
from rnnbench.model import Array
from rnnbench.tasks.spec import Split, Windows
from rnnbench.testing.results import BrokenPromise, PropertyResult
from rnnbench.workers.failure import explain

Loss = Literal["mse", "cross-entropy"]
COUNT, STEPS, INPUTS, CLASSES = 60, 7, 2, 3
CLOSE = 1e-9  # rows together and one by one: sums in another order


@dataclass(frozen=True)
class BaselineCase:
    """A problem, and a test split that it says nothing of."""

    title: str
    problem: Problem
    test: Split


def windowed(series: Sequence[Array], window: int, leads: tuple[int, ...], begin: Sequence[int]) -> Split:
    """Return every window of series [n] whose first target is at `begin` or later and whose last is there; the series
    standardised by what lies before `begin`, or by themselves where that is less than a window."""
    which: list[int] = []
    origin: list[int] = []
    offset, scale = [], []
    for number, (values, start) in enumerate(zip(series, begin, strict=True)):
        known = values[:start] if start >= window else values
        offset.append(known.mean())
        scale.append(known.std() or 1.0)
        first = range(max(window, start - leads[0] + 1), len(values) - leads[-1] + 1)
        which, origin = [*which, *(number for _ in first)], [*origin, *first]
    windows = Windows(
        tuple(series),
        np.array(which),
        np.array(origin),
        leads,
        np.array(offset),
        np.array(scale),
        names=("",) * len(series),
    )
    x = [windows.past(row)[-window:] for row in range(len(which))]
    target = [[series[number][at + lead - 1] for lead in leads] for number, at in zip(which, origin, strict=True)]
    inputs = windows.scaled(np.array(x)).T[:, :, None]
    return Split(np.ascontiguousarray(inputs), windows.scaled(np.array(target)), windows=windows)


@cache
def cases() -> tuple[BaselineCase, ...]:
    """Return a problem of every kind."""
    return (
        _of_series("one series", [120]),
        _of_series("several series of unlike lengths", [90, 40, 70], (1, 2, 3)),
        _drawn("numbers", "mse"),
        _drawn("classes of ragged sequences", "cross-entropy", ragged=True),
        _drawn("numbers at each step", "mse", every_step=True),
        _drawn("classes at each step of ragged sequences", "cross-entropy", every_step=True, ragged=True),
    )


def _of_series(title: str, lengths: Sequence[int], leads: tuple[int, ...] = (1,)) -> BaselineCase:
    rng = np.random.default_rng(len(lengths))
    whole = [
        number + 0.02 * np.arange(n) + np.sin(np.arange(n) * np.pi / 4) + 0.1 * rng.standard_normal(n)
        for number, n in enumerate(lengths)
    ]
    borders = [n - n // 5 for n in lengths]
    train = windowed([one[:border] for one, border in zip(whole, borders, strict=True)], STEPS, leads, [0] * len(whole))
    test, known = windowed(whole, STEPS, leads, borders), train.windows
    assert test.windows is not None
    assert known is not None
    test = replace(test, windows=replace(test.windows, offset=known.offset, scale=known.scale))
    return BaselineCase(title, Problem(train, "mse", len(leads), "last", 0), test)


def _drawn(
    title: str, loss: Literal["mse", "cross-entropy"], every_step: bool = False, ragged: bool = False
) -> BaselineCase:
    rng = np.random.default_rng(5)

    def draw(count: int) -> Split:
        x = rng.standard_normal((STEPS, count, INPUTS))
        lengths = rng.integers(1, STEPS + 1, count) if ragged else None
        shape = (STEPS, count) if every_step else (count,)
        numbers, picked = rng.standard_normal((*shape, CLASSES)), rng.integers(0, CLASSES, shape)
        if lengths is not None:
            x[np.arange(STEPS)[:, None] >= lengths] = np.nan  # nobody may look there
        return Split(x, picked if loss == "cross-entropy" else numbers, lengths, every_step)

    return BaselineCase(
        title, Problem(draw(COUNT), loss, CLASSES, "all" if every_step else "last", 0), draw(COUNT // 3)
    )


def shapes(baseline: Baseline, case: BaselineCase) -> None:
    """Give an answer to every sequence, in finite numbers, and say how many parameters were chosen."""
    fitted = baseline.fit(case.problem)
    answers = np.asarray(fitted.predict(case.test))
    steps = (len(case.test.x),) if case.test.every_step else ()
    if answers.shape != (shape := (*steps, case.test.count, case.problem.output_size)):
        raise BrokenPromise(f"answers {answers.shape}; it must be {shape}")
    if not np.isfinite(answers).all():
        raise BrokenPromise("answers NaN or infinity")
    if not isinstance(fitted.parameters, int | np.integer) or fitted.parameters < 0:
        raise BrokenPromise(f"says that it has {fitted.parameters!r} parameters")


def no_look_ahead(baseline: Baseline, case: BaselineCase) -> None:
    """Answer each sequence as if it were alone, its target another one and its series at an end."""
    fitted = baseline.fit(case.problem)
    answers = np.asarray(fitted.predict(case.test))
    for row in {0, case.test.count // 2, case.test.count - 1}:
        alone = case.test.rows(np.array([row]))
        if (windows := alone.windows) is not None:
            cut = [
                values[: windows.origin[0]] if n == windows.which[0] else values
                for n, values in enumerate(windows.series)
            ]
            alone = replace(alone, windows=replace(windows, series=tuple(cut)))
        found = np.asarray(fitted.predict(replace(alone, target=np.zeros_like(alone.target))))
        expected = np.take(answers, [row], axis=1 if case.test.every_step else 0)
        if not np.allclose(found, expected, rtol=CLOSE, atol=CLOSE):
            raise BrokenPromise(f"answers sequence {row} otherwise when its target and what comes after are not there")


def repeatability(baseline: Baseline, case: BaselineCase) -> None:
    """Answer the same when fitted anew with the same seed, and leave the data as they are."""
    before = [case.problem.train.x.copy(), case.test.x.copy(), case.problem.train.target.copy()]
    first, second = (np.asarray(baseline.fit(case.problem).predict(case.test)) for _ in range(2))
    if not np.array_equal(first, second):
        raise BrokenPromise("answers otherwise when fitted anew with the same seed")
    after = [case.problem.train.x, case.test.x, case.problem.train.target]
    if not all(np.array_equal(one, other, equal_nan=True) for one, other in zip(before, after, strict=True)):
        raise BrokenPromise("changes the data that it is given")


PROMISES: tuple[Callable[[Baseline, BaselineCase], None], ...] = (shapes, no_look_ahead, repeatability)


def check_baseline(baseline: Baseline) -> Iterator[PropertyResult]:
    """Yield a result for each promise, on all the problems that the baseline suits; whatever it raises is one too."""
    for promise in PROMISES:
        suited, broken = 0, ""
        for case in cases():
            try:
                if baseline.unsuitable(case.problem) is None:
                    suited += 1
                    promise(baseline, case)
            except BrokenPromise as fault:
                broken = broken or f"{fault} ({case.title})"
            except Exception as error:
                broken = broken or f"{explain(error)} ({case.title})"
        name = promise.__name__.replace("_", " ")
        if broken:
            yield PropertyResult(name, False, reason=broken)
        else:
            words = " ".join((promise.__doc__ or "").split())
            yield PropertyResult(
                name, True if suited else None, reason=words if suited else "it suits none of the problems"
            )
