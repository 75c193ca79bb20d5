"""What may be said of cells beside methods without recurrence: which they beat, which they are not shown to, which beat
them; and of the choice that was made on folds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rnnbench.records.statistics import PROCESSES_FOR_A_VERDICT
from rnnbench.records.summary import Row, label, varying
from rnnbench.report.columns import score_text
from rnnbench.report.gains import Gain, Losses, Pair, best_first, comparable, gains, with_ends
from rnnbench.report.sentences import basis_of
from rnnbench.report.text import counted, joined, significant

TOLD = 3  # rivals that a sentence has figures of, the strongest
LEADS = 8  # steps ahead that a line has scores of


def rival_sentences(rows: Sequence[Row], losses: Losses) -> list[str]:
    """State which cells beat which baselines: shown over seeds and, of forecasts, over the test part too.

    Holm's correction is over all pairs of a cell and a baseline. Nothing where there are no baselines, or no cell has a
    score.
    """
    cells, rivals = comparable(rows), baselines(rows)
    found = gains([(cell, rival) for rival in rivals for cell in cells], losses)
    cells = [cell for cell in cells if all((cell, rival) in found for rival in rivals)]
    if not (cells and rivals):
        return []
    names = varying(cells)
    lines = [_best_line(cells[0], rivals[0], names, losses)]
    if max(won.seeds for won in found.values()) < PROCESSES_FOR_A_VERDICT:
        return [*lines, f"Whether a cell beats a baseline is not said of fewer than {PROCESSES_FOR_A_VERDICT} seeds."]
    basis = basis_of(cells[0], list(found.values()), losses)
    contest = _Contest(tuple(cells), tuple(rivals), found, losses.tested_on(cells[0]), names)
    return [*lines, *(f"{text} {basis}." for text in contest.texts())]


def baselines(rows: Sequence[Row]) -> list[Row]:
    """Return the baselines that came through, best first."""
    return best_first(row for row in rows if row.is_baseline and row.ranked and row.scores)


def with_parameters(row: Row) -> str:
    """Name a baseline, with how many numbers it chose: ridge (13 parameters)."""
    count = row.value("parameters")
    return row.variant.cell if count is None else f"{row.variant.cell} ({counted(int(count), 'parameter')})"


def choice_sentence(on_folds: Sequence[Row], tested: Sequence[Row]) -> str | None:
    """State what was chosen on folds and how it did on the test part, beside the baseline that was best on the folds;
    None before it was tested."""
    cells = comparable(on_folds)
    chosen, rival = (
        next((row for each in own if (row := _same(each, tested))), None) for own in (cells, baselines(on_folds)[:1])
    )
    if chosen is None:
        return None
    name = label(chosen.variant, varying(on_folds))
    beside = f"; {rival.variant.cell} {score_text(rival)}, the best baseline on the folds" if rival else ""
    folds = counted(cells[0].folds, "fold")
    return f"Chosen on {folds}: {name}; on the test part, looked at once: {score_text(chosen)}{beside}."


def lead_line(rows: Sequence[Row], scores: Mapping[Row, Sequence[float]]) -> str | None:
    """State the score by step ahead, of the best cell and the best baseline; None for a single step. scores: by row."""
    cells, names = comparable(rows), varying(rows)
    shown = [own[0] for own in (cells, baselines(rows)) if own and len(scores.get(own[0], ())) > 1]
    if not shown:
        return None
    count = len(scores[shown[0]])
    steps = sorted({round(1 + (count - 1) * number / (LEADS - 1)) for number in range(LEADS)})
    words = [
        f"{label(row.variant, names)} {', '.join(significant(scores[row][step - 1]) for step in steps)}"
        for row in shown
        if len(scores[row]) == count
    ]
    score = shown[0].records[0].score_name
    return f"By step ahead ({score}), steps {joined([str(step) for step in steps])}: {'; '.join(words)}."


def _same(row: Row, rows: Sequence[Row]) -> Row | None:
    """Return the row of the same variant that has a score, on the same backend if there is one."""
    own = [each for each in rows if each.variant == row.variant and each.scores]
    return next((each for each in own if each.backend == row.backend), own[0] if own else None)


def _best_line(cell: Row, rival: Row, names: Sequence[str], losses: Losses) -> str:
    """Name the best score and the best of the others' kind, with intervals over the test part where they are known."""
    means = [losses.mean(row) for row in (cell, rival)]
    known = None not in means
    own, other = (
        f"{name}, {with_ends(mean) if mean and known else score_text(row)}"
        for name, mean, row in zip(
            (label(cell.variant, names), with_parameters(rival)), means, (cell, rival), strict=True
        )
    )
    over = f" over {losses.tested_on(cell)}" if known else ""
    if best_first([rival, cell])[0] is rival:
        return f"Best score{over}: {other}; best cell: {own}."
    return f"Best score{over}: {own}; best baseline: {other}."


def _first(names: list[str]) -> list[str]:
    """Return the first of them, and how many more there are."""
    return [*names[:TOLD], *([f"{len(names) - TOLD} more"] if len(names) > TOLD else [])]


@dataclass(frozen=True)
class _Contest:
    """Cells against baselines, both best first. over: what was tested on; names: what tells the cells apart."""

    cells: tuple[Row, ...]
    rivals: tuple[Row, ...]
    found: Mapping[Pair, Gain]
    over: str
    names: tuple[str, ...]

    def texts(self) -> list[str]:
        """Return what is shown, in sentences without their basis: first what no cell beats."""
        best, lines = self.cells[0], []
        beaten = {rival: cell for rival in self.rivals for cell in reversed(self.cells) if self.found[cell, rival].real}
        winners = [rival for rival in self.rivals if all(self.found[rival, cell].real for cell in self.cells)]
        undecided = [rival for rival in self.rivals if rival not in beaten and rival not in winners]
        if winners:
            verb = "beats" if len(winners) == 1 else "beat"
            leads = joined([self._lead(rival, best) for rival in winners[:TOLD]])
            names = joined(_first([with_parameters(rival) for rival in winners]))
            lines.append(f"{names} {verb} every cell, the best of them, {self._name(best)}, by {leads}")
        if undecided:
            names = joined([with_parameters(rival) for rival in undecided], "or")
            standing = joined([self._standing(rival) for rival in undecided[:TOLD]])
            lines.append(f"No cell is shown to beat {names}: {self._name(best)} is {standing}")
        for cell in self.cells:
            own = [rival for rival, winner in beaten.items() if winner is cell]
            told = _first([f"{with_parameters(rival)} by {self._lead(cell, rival)}" for rival in own])
            every = "every baseline: " if len(own) == len(self.rivals) else ""
            if own:
                lines.append(f"{self._name(cell)} beats {every}{joined(told)}")
        return lines

    def _name(self, cell: Row) -> str:
        return label(cell.variant, self.names)

    def _lead(self, row: Row, other: Row) -> str:
        return self.found[row, other].told(self.over)

    def _standing(self, rival: Row) -> str:
        """Say how the best cell stands to a baseline that it is not shown to beat."""
        best = self.cells[0]
        won = self.found[best, rival]
        if won.level:
            return f"level with {rival.variant.cell}"
        if won.estimate.value > 0:
            return f"ahead of {rival.variant.cell} by {self._lead(best, rival)}"
        return f"behind {rival.variant.cell} by {self._lead(rival, best)}"
