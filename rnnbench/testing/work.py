"""The worker's side: judges one property at a time of the backend that its process has loaded."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from rnnbench.backends.base import Backend
from rnnbench.registry import registry
from rnnbench.testing.cases import PLAIN, ConformanceCase
from rnnbench.testing.properties import PROPERTIES, Property, Subject
from rnnbench.testing.results import BrokenPromise, Measure, PropertyResult
from rnnbench.workers.failure import Failure, explain, printable
from rnnbench.workers.serve import pin

LONGEST_REASON = 300


class ConformanceWork:
    """Handed to a worker process by its import path, as `comparison.actions.CaseActions` is for a measurement."""

    def __init__(self, backend: Backend, threads: int) -> None:
        self.backend, self.threads = backend, threads

    def judge(self, backend: str, name: str, cores: list[int]) -> PropertyResult:
        """Judge one property. cores: all that the process may use: a thread too many must have a core to be seen on."""
        pin(cores)
        subject = Subject(self.backend, registry().backend(backend), self.threads)
        (judged,) = [each for each in PROPERTIES if each.name == name]
        result = judge(judged, subject)
        return replace(result, reason=printable(result.reason)[:LONGEST_REASON])


def judge(judged: Property, subject: Subject) -> PropertyResult:
    """Return the worst over all cases the property applies to; whatever the backend raises is a result too."""
    worst: tuple[ConformanceCase, Measure] | None = None
    count, refusal = 0, ""
    for case in _cases(judged, subject):
        try:
            reason = None if judged.judges_refusals else _refusal(judged, subject, case)
            if reason is not None:
                refusal = refusal or reason  # the plainest case's
                continue
            count += 1
            for measure in judged.check(subject, case):
                if worst is None or measure.excess > worst[1].excess:
                    worst = case, measure
        except (BrokenPromise, Failure) as fault:
            words = fault.reason if isinstance(fault, Failure) else str(fault)
            return PropertyResult(judged.name, False, reason=f"{words} ({case.title})")
        except Exception as error:
            return PropertyResult(judged.name, False, reason=f"{explain(error)} ({case.title})")
    if not count:
        conditional = judged.ragged or judged.training or judged.streaming
        return PropertyResult(
            judged.name, None if conditional else False, reason=refusal or "it lists no cell or no dtype"
        )
    if worst is None:
        return PropertyResult(judged.name, True, reason=judged.promise)
    case, measure = worst
    return PropertyResult(judged.name, measure.ok, measure.error, measure.tolerance, f"{measure.what} ({case.title})")


def _cases(judged: Property, subject: Subject) -> Iterator[ConformanceCase]:
    info = subject.info
    every = [cell for cell in sorted(registry().cells) if info.cells is None or cell in info.cells]
    some = _sample(subject, every) or every
    for number, shape in enumerate(judged.shapes):
        thinned = judged.costly and number > 0
        for cell in every if judged.every_cell and not thinned else some:
            for dtype in info.dtypes[-1:] if thinned else info.dtypes:
                yield ConformanceCase(shape, cell, dtype, judged.ragged)


def _sample(subject: Subject, cells: Sequence[str]) -> list[str]:
    """Pick, of the cells that run, one with the most states and one with the fewest."""
    running = [
        cell
        for cell in cells
        if any(subject.refusal(ConformanceCase(PLAIN, cell, dtype)) is None for dtype in subject.info.dtypes)
    ]
    ordered = sorted(running, key=lambda cell: len(registry().cell(cell).states))
    return list(dict.fromkeys([*ordered[-1:], *ordered[:1]]))


def _refusal(judged: Property, subject: Subject, case: ConformanceCase) -> str | None:
    """Return why the property does not apply. Training is asked for only where it is what is judged."""
    plain = subject.refusal(case)
    if plain is None and judged.training:
        plain = subject.refusal(case, training=True)
    if plain is None and judged.streaming:
        plain = subject.refusal(case, streaming=True)
    return plain
