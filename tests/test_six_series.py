"""Six series of which is known what there is to learn: the table names what is best, and calls nothing learned that a
constant beats."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import six_series
from six_series import EXAMPLES

import rnnbench
from rnnbench.cli import main
from rnnbench.tables.options import TableOptions
from rnnbench.tables.panel import read_series

CELLS = ["gru", "lstm"]
BLIND = ("constant", "last-value", "seasonal-last-value")
CLOSE = 1.05  # times: that two methods which know the same lie apart on a test part of fifty rows or more
# Of noise in units of its own deviation σ, what the best possible answer is off by in the mean: σ √(2/π).
FLOOR = float(np.sqrt(2 / np.pi))
NOISE = {"two_seasons": 2.0, "weekly": 8.0, "nearly_constant": 1.0}


def test_the_example_file_is_what_the_tool_writes():
    assert six_series.EXAMPLE.read_text(encoding="utf-8") == six_series.example_file()


def test_the_tool_writes_it(tmp_path: Path):
    script = Path(six_series.__file__).with_name("six_series.py")
    done = subprocess.run([sys.executable, str(script), str(tmp_path / "shops.csv")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "shops.csv").read_text(encoding="utf-8") == six_series.example_file()


def test_the_example_file_is_five_series_with_a_week_of_promotions_ahead():
    asked = TableOptions(str(six_series.EXAMPLE), target=("sales",), id="shop", known=("promotion",))
    table = read_series(asked)
    assert [series.id for series in table.series] == list(six_series.SHOPS)
    assert {len(series.target) for series in table.series} == {six_series.DAYS}
    assert {len(series.known) for series in table.series} == {six_series.DAYS + six_series.AHEAD}
    assert (table.frequency, table.season) == ("D", 7)


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
def test_the_table_names_what_is_best(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    example = EXAMPLES[name]()
    run = rnnbench.compare(example.frame, **example.options, cell=CELLS, backend="numba", quick=True)
    rows = run.frame()
    assert set(rows["status"]) == {"ok"}
    rows = rows.set_index("cell")
    score = rows["score"]
    if example.best:
        assert score[example.best] <= CLOSE * score[CELLS].min()
    blind = score[score.index.intersection(BLIND)].min()
    assert (score[rows["learned"] == True] < blind).all()  # noqa: E712, a column of True, False and None
    if name == "nearly_constant":
        assert not rows["learned"].any()
    if noise := NOISE.get(name):  # nothing is better than the noise lets it be, or something has seen the answers
        count = len(example.frame) // 5
        spread = noise * np.sqrt((1 - 2 / np.pi) / count)  # of the mean of so many |e|
        assert rows["mae"].min() > noise * FLOOR - 4 * spread
        # And something comes close: least squares on 24 hours, which show little of a week, is 1.27 times as far off.
        assert rows["mae"].min() < 1.3 * noise * FLOOR
    capsys.readouterr()
    assert main(["show", run.id]) == 0
    told = " ".join(capsys.readouterr().out.split())
    best, ahead = score[score.index.difference(CELLS)].idxmin(), score.idxmin()
    assert re.search(rf"Best score over [^:]+: {ahead}.{{0,25}}, [\d.]+ \[", told)
    assert re.search(rf"best baseline: {best} \(", told) if ahead in CELLS else ahead == best
