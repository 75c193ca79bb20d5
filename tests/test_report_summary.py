import pytest
from scipy import stats
from stored_runs import failed, record

from rnnbench.records.summary import label, summarise, varying
from rnnbench.report.columns import columns
from rnnbench.report.text import DASH


def test_a_row_per_case_in_order_of_appearance_with_a_variants_backends_together() -> None:
    records = [record("adding", cell, name, seed) for seed in (1, 0) for name in ("b", "a") for cell in ("lstm", "gru")]
    rows = summarise(records)
    assert [(row.variant.cell, row.backend) for row in rows] == [
        ("lstm", "b"),
        ("lstm", "a"),
        ("gru", "b"),
        ("gru", "a"),
    ]
    assert all([r.seed for r in row.records] == [0, 1] for row in rows)


def test_the_score_is_a_mean_with_students_interval() -> None:
    scores = [0.50, 0.55, 0.62, 0.49, 0.57]
    (row,) = summarise(record("adding", "gru", "numba", seed, score=s) for seed, s in enumerate(scores))
    low, high = stats.t.interval(0.95, 4, loc=sum(scores) / 5, scale=stats.sem(scores))
    score = row.figure("score")
    assert score is not None
    assert (score.value, score.low, score.high) == pytest.approx((0.546, low, high))


def test_inference_is_a_geometric_mean_over_processes() -> None:
    (row,) = summarise(record("adding", "gru", "numba", seed, infer_seconds=10.0**-seed) for seed in (2, 4))
    infer = row.figure("infer_seconds")
    assert infer is not None
    assert infer.value == pytest.approx(1e-3)
    assert infer.low is not None
    assert infer.low < 1e-4


def test_a_single_process_keeps_the_interval_of_its_rounds() -> None:
    one = record("adding", "gru", "numba", 0, infer_seconds=3e-4, infer_seconds_low=2e-4, infer_seconds_high=5e-4)
    (row,) = summarise([one])
    infer = row.figure("infer_seconds")
    assert infer is not None
    assert (infer.value, infer.low, infer.high) == (3e-4, 2e-4, 5e-4)


def test_only_seeds_that_came_through_count_and_the_row_is_not_ranked() -> None:
    good = [record("adding", "gru", "numba", seed, score=0.5) for seed in range(3)]
    bad = failed(record("adding", "gru", "numba", 3), "mismatch", "off by 1e-2")
    (row,) = summarise([*good, bad])
    assert (row.status, row.ranked) == ("mismatch 1/4", False)
    assert row.scores == {0: 0.5, 1: 0.5, 2: 0.5}
    assert row.learned == (3, 3)


def test_what_varies_is_in_the_label() -> None:
    rows = summarise([record("adding", "gru", "numba", 0, hidden_size=size) for size in (16, 32)])
    assert varying(rows) == ("hidden_size",)
    assert [label(row.variant, varying(rows)) for row in rows] == ["gru h16", "gru h32"]


def test_a_missing_figure_is_a_dash_and_an_empty_column_is_left_out() -> None:
    rows = summarise(
        [
            record("adding", "gru", "numba", 0, latency_p50_seconds=None),
            failed(record("adding", "gru", "torch", 0), "crashed", "ValueError: no"),
        ]
    )
    shown = {column.name: column.cells for column in columns(rows)}
    assert "step p50" not in shown
    assert shown["status"] == ("ok", "crashed")
    assert shown["infer"][1] == shown["score"][1] == DASH
    assert shown["params"][1] == "3329"
    assert not any(cell == "" for cells in shown.values() for cell in cells)


def test_sizes_are_columns_only_where_they_differ() -> None:
    same = summarise([record("adding", "gru", "numba", 0)])
    assert not {"hidden", "layers", "threads", "status"} & {column.name for column in columns(same)}
    two = summarise([record("adding", "gru", "numba", 0, threads=threads) for threads in (1, 2)])
    assert {column.name: column.cells for column in columns(two)}["threads"] == ("1", "2")
