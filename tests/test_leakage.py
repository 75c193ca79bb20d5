"""The test part has no say: from a file to a stored run, a constant added to its rows changes nothing before it."""

from pathlib import Path

import pandas as pd
import pytest
from six_series import DAYS, EXAMPLE

import rnnbench
from rnnbench.comparison import rows

TESTED = 28  # days of each shop
OPTIONS = {"target": "sales", "id": "shop", "known": "promotion", "horizon": 2, "window": 14, "test": TESTED}
ASKED = {"cell": ["gru", "rnn-tanh"], "hidden": 4, "steps": 60, "backend": "numba", "quick": True, "folds": 2}


def table_with(shift: float, folder: Path) -> Path:
    """Write the shops with a constant added to each one's last days."""
    shops = pd.read_csv(EXAMPLE)
    place = shops.groupby("shop").cumcount()
    shops.loc[(place >= DAYS - TESTED) & (place < DAYS), "sales"] += shift
    folder.mkdir()
    shops.to_csv(folder / "shops.csv", index=False)
    return folder / "shops.csv"


@pytest.mark.slow
def test_a_constant_added_to_the_test_part_of_a_file_changes_no_byte_of_what_is_trained_or_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def compared(shift: float) -> tuple[list[object], pd.DataFrame]:
        trained, samples = [], rows.samples

        def noting(runs):
            for run in runs:
                weights = {name: value.tobytes() for name, value in (run.weights or {}).items()}
                kept = run.samples
                trained.append((run.name, weights, kept.train_losses, kept.scores, kept.kept_steps))
            return samples(runs)

        with monkeypatch.context() as patched:
            patched.setattr(rows, "samples", noting)
            table = table_with(shift, tmp_path / f"{shift:g}")
            run = rnnbench.compare(str(table), **OPTIONS, **ASKED, results=tmp_path / f"{shift:g}" / "runs")
        return trained, run.frame()

    (trained, found), (others, other) = compared(0.0), compared(500.0)
    assert trained == others
    assert sum(bool(weights) for _, weights, *_ in trained) >= 5  # two cells on two folds, and the chosen one
    same = ["cell", "backend", "fold", "status", "train_steps", "parameters"]
    assert found[same].equals(other[same])  # which one was chosen, too
    on_folds, tested = found["fold"].notna(), found["fold"].isna()
    for name in ("score", "mae", "mase"):
        assert (found.loc[on_folds, name].dropna() == other.loc[on_folds, name].dropna()).all()
    assert (found.loc[tested, "mae"] != other.loc[tested, "mae"]).all()  # the one thing that does change
    assert on_folds.sum() > tested.sum() > 5  # with the methods without recurrence
