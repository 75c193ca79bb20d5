"""The M1 competition's yearly series: the archive's own data, and the scores that it publishes for them."""

import subprocess
import sys
import zipfile
from itertools import groupby
from pathlib import Path

import make_m1
import numpy as np
import pytest

from rnnbench.baselines.spec import Problem
from rnnbench.comparison.baselines import joined
from rnnbench.registry import registry
from rnnbench.tasks.m1_yearly import HORIZON, panel

SHIPPED = make_m1.INTO.read_text(encoding="utf-8")


def series_of_the_file() -> list[np.ndarray]:
    rows = [line.split(",") for line in SHIPPED.splitlines()[1:]]
    return [np.array([float(row[2]) for row in own]) for _, own in groupby(rows, lambda row: row[0])]


def mean_mase(forecast) -> float:
    """As the archive has it: each series' last years by those before them, over the mean step of those."""
    scores = []
    for values in series_of_the_file():
        past, future = values[:-HORIZON], values[-HORIZON:]
        scores.append(np.abs(forecast(past) - future).mean() / np.abs(np.diff(past)).mean())
    return float(np.mean(scores))


def test_the_data_are_the_archive_s():
    lines = make_m1.original(SHIPPED)
    assert make_m1.digest(lines) == make_m1.DIGEST
    assert make_m1.table(lines) == SHIPPED


@pytest.mark.parametrize("own", [True, False])
def test_the_tool_writes_what_the_archive_holds_and_nothing_else(own: bool, tmp_path: Path):
    wheel, into = tmp_path / "aeon.whl", tmp_path / "into.csv"
    lines = make_m1.original(SHIPPED) if own else ["T1:1972-01-01 00-00-00:1,2"]
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(make_m1.MEMBER, "# about it\n@horizon 6\n@data\n" + "\n".join(lines) + "\n")
    script = Path(__file__).parents[1] / "tools" / "make_m1.py"
    done = subprocess.run([sys.executable, str(script), str(wheel), str(into)], capture_output=True, text=True)
    if own:
        assert (done.returncode, into.read_text(encoding="utf-8")) == (0, SHIPPED)
    else:
        assert done.returncode == 1
        assert "digest" in done.stderr
        assert not into.exists()


def test_scores_are_those_that_are_published():
    """Of the last value and of drift, by the formulas, to the third digit."""
    ahead = np.arange(1, HORIZON + 1)
    assert round(mean_mase(lambda past: past[-1]), 3) == 4.894
    assert round(mean_mase(lambda past: past[-1] + ahead * (past[-1] - past[0]) / (len(past) - 1)), 3) == 3.489


def test_the_panel_is_the_file():
    assert [series.target.tolist() for series in panel().series] == [values.tolist() for values in series_of_the_file()]
    assert len(panel().series) == 181


def test_the_task_is_scored_as_the_archive_scores():
    """The last value's answer through the task, and every series forecast once from all of its past."""
    task = registry().task("m1-yearly")
    test = task.data(0).test
    last = np.broadcast_to(test.x[-1, :, :1], test.target.shape)
    assert task.score(last, test) == pytest.approx(mean_mase(lambda past: past[-1]), rel=1e-12)
    assert [len(test.windows.past(n)) for n in range(test.count)] == [len(v) - HORIZON for v in series_of_the_file()]


@pytest.mark.parametrize(("name", "published"), [("last-value", {4.894}), ("drift", {3.489}), ("ses", {4.937, 4.938})])
def test_baselines_get_what_is_published(name, published):
    """Fitted to what is before the test part. SES: 4.938 in the archive, whose α is found otherwise."""
    task = registry().task("m1-yearly")
    data = task.data(0)
    problem = Problem(joined(data.train, data.validation), task.loss, task.output_size, task.readout, 0)
    assert round(task.score(registry().baseline(name).fit(problem).predict(data.test), data.test), 3) in published
