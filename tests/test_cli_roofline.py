"""`rnnbench roofline`: cases under a made-up roof, worked out by hand; the table, the files, the plot; a real run."""

import csv
import itertools
import json
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from rnnbench import loading
from rnnbench.cli import main
from rnnbench.machine.environment import machine
from rnnbench.roofline import points as measured
from rnnbench.roofline import report as roofline
from rnnbench.roofline.limits import Level, MachineLimits, case_limit, parts
from rnnbench.roofline.plot import draw, drawn
from rnnbench.roofline.points import CASES, Point, RooflineCase, measure
from rnnbench.workers.failure import Failure

Capture = pytest.CaptureFixture[str]

KIB = 1024
MADE_UP = MachineLimits(
    "float32",
    1,
    flops_peak=100e9,
    levels=(
        Level("L1", 32 * KIB, 200e9, 16 * KIB),
        Level("L2", 512 * KIB, 100e9, 128 * KIB),
        Level("memory", None, 10e9, 2**26),
    ),
)
SMALL = (RooflineCase("lstm", 2, 5, 3, 8), RooflineCase("gru", 1, 4, 2, 6))


def point(case: RooflineCase, fraction: float) -> Point:
    """A case that reaches `fraction` of its limit."""
    model = case.model(MADE_UP.dtype)
    work = parts(model, case.batch_size, case.seq_len)
    seconds, bound = case_limit(MADE_UP, model, case.batch_size, case.seq_len)
    flops, read = sum(part.flops for part in work), sum(part.bytes_read for part in work)
    return Point(case, flops, read, seconds, bound, seconds / fraction)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two small cases, and no measuring of the machine."""
    monkeypatch.setattr(measured, "CASES", SMALL)
    monkeypatch.setattr("rnnbench.roofline.limits.limits", lambda dtype, threads: MADE_UP)


# ---- figures ---------------------------------------------------------------------------------------------------------


def test_a_point_is_placed_by_hand() -> None:
    one = point(RooflineCase("lstm", 32, 100, 64, 128), 0.25)
    flops = 2 * 32 * 100 * 4 * 128 * (64 + 128)
    weights = 4 * 4 * 128 * (100 * 128 + 64)  # R at every step, W once
    assert (one.flops, one.weight_bytes, one.bound) == (flops, weights, "arithmetic")
    assert one.intensity == flops / weights
    assert one.limit_flops_per_second == pytest.approx(100e9)
    assert one.flops_per_second == pytest.approx(25e9)
    assert one.fraction == pytest.approx(0.25)


def test_the_report_names_what_binds_and_the_least() -> None:
    points = [
        point(RooflineCase("lstm", 32, 100, 64, 128), 0.9),
        point(RooflineCase("gru", 32, 100, 64, 128), 0.4),
        point(RooflineCase("gru", 1, 100, 64, 128), 0.25),
    ]
    told = roofline.report(points, MADE_UP, machine())
    (section,) = told.sections
    assert section.score == "this machine: 100 GFLOP/s; reads L1 200, L2 100 and memory 10.0 GB/s"
    columns = {(column.name, column.unit): column.cells for column in section.columns}
    assert columns["bound by", ""] == ("arithmetic", "arithmetic", "L2 bandwidth")
    assert columns["of limit", "%"] == ("90", "40", "25")
    assert columns["reached", "GFLOP/s"][0] == "90.0"
    (finding,) = section.findings
    found = finding.replace("\N{NO-BREAK SPACE}", " ")
    assert "60 % of what arithmetic allows (2 cases) and 25 % of what L2 bandwidth allows (1 case)" in found
    assert found.endswith("Least: 25 %, gru at 1, 100, 64, 128.")
    assert section.basis[-1] == (
        "Caches of 1 thread, as the system tells them: L1 32 KiB and L2 512 KiB; measured L1 over 16 KiB, L2 over "
        "128 KiB and memory over 64 MiB."
    )


def test_assumed_sizes_are_called_so() -> None:
    unknown = replace(MADE_UP, sizes_known=False)
    (section,) = roofline.report([point(SMALL[0], 0.5)], unknown, machine()).sections
    assert "assumed, since the system does not tell" in section.basis[-1]


def test_what_cannot_be_is_told() -> None:
    first, second, last = MADE_UP.levels
    points = [point(SMALL[0], 0.5), point(SMALL[1], 1.25)]
    (quiet,) = roofline.report(points[:1], MADE_UP, machine()).sections
    assert quiet.troubles == ()
    busy = replace(MADE_UP, levels=(first, replace(second, bandwidth=9e9), last))
    (section,) = roofline.report(points, busy, machine()).sections
    slow, above = section.troubles
    assert slow.startswith("L2 was read more slowly than memory: something else ran")
    assert above.startswith("Above the limit: gru at 1, 4, 2, 6. What limits it")


def test_every_case_is_checked_and_timed() -> None:
    first, second = measure(SMALL, MADE_UP)
    assert [first.case, second.case] == list(SMALL)
    for found in (first, second):
        again = point(found.case, found.fraction)
        assert found.seconds > 0
        assert (found.flops, found.weight_bytes, found.limit_seconds) == (
            again.flops,
            again.weight_bytes,
            again.limit_seconds,
        )


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda y: y * np.float32(1.01), "numba: the output differs from the float64 reference by 1.0e-02"),
        (lambda y: y * np.float32(np.nan), "numba gave NaN or infinity in y"),
    ],
)
def test_a_wrong_output_is_never_timed(
    wrong: Callable[[Any], Any], said: str, quick: None, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    right = loading.session

    def session(backend: str, *arguments: Any) -> Any:
        made = right(backend, *arguments)
        if backend == "numba":
            forward = made.forward
            made.forward = lambda x: (wrong(forward(x)[0]), None)  # type: ignore[method-assign]
        return made

    monkeypatch.setattr(loading, "session", session)
    with pytest.raises(Failure) as raised:
        list(measure(SMALL, MADE_UP))
    assert raised.value.reason.startswith("lstm, B, T, I, H = 2, 5, 3, 8: ")
    assert said in raised.value.reason
    assert main(["roofline"]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.splitlines()[-1].startswith("error: lstm, B, T, I, H = 2, 5, 3, 8: numba")


# ---- the command -----------------------------------------------------------------------------------------------------


def test_table_and_files(quick: None, tmp_path: Path, capsys: Capture) -> None:
    names = {kind: str(tmp_path / f"roof.{kind}") for kind in ("json", "csv", "md", "svg")}
    files = ["--json", names["json"], "--export", names["csv"], "--export", names["md"], "--plot", names["svg"]]
    assert main(["roofline", *files]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("forward passes of numba, float32, 1 thread\n")
    assert re.search(r"lstm +2, 5, 3, 8 .* arithmetic|lstm +2, 5, 3, 8 .* L1 bandwidth", shown)
    whole = json.loads(Path(names["json"]).read_text())
    assert whole["schema"] == 1
    assert whole["limits"]["peak_flops_per_second"] == 100e9
    assert whole["limits"]["levels"][-1] == {
        "name": "memory",
        "size_bytes": None,
        "read_bytes_per_second": 10e9,
        "measured_over_bytes": 2**26,
    }
    with Path(names["csv"]).open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["cell"] for line in lines] == ["lstm", "gru"]
    assert [float(line["infer_seconds"]) for line in lines] == [row["infer_seconds"] for row in whole["rows"]]
    assert Path(names["md"]).read_text().startswith("# rnnbench roofline\n")
    drawing = Path(names["svg"]).read_text()
    assert "<!-- lstm 2, 5, 3, 8 -->" in drawing
    assert "<!-- L2 100 GB/s -->" in drawing


def test_json_on_stdout_stands_alone(quick: None, capsys: Capture) -> None:
    assert main(["roofline", "--json", "-"]) == 0
    assert [row["cell"] for row in json.loads(capsys.readouterr().out)["rows"]] == ["lstm", "gru"]


@pytest.mark.slow
def test_this_machine(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    """Nothing made up: its peak, its caches and one case."""
    monkeypatch.setattr(measured, "CASES", (RooflineCase("lstm", 8, 20, 16, 64),))
    assert main(["roofline", "--json", "-"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert row["limit_fraction"] > 0
    assert row["flops_per_second"] == pytest.approx(row["flops"] / row["infer_seconds"])
    assert row["flops_per_second"] < row["limit_flops_per_second"] * 1.5  # a peak measured while others work is low


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--plot", "roof.txt"], "its name must end in .svg, .png, .pdf"),
        (["--plot", "nowhere/roof.svg"], "there is no folder 'nowhere'"),
        (["--export", "roof.html"], "its name must end in .csv or .md"),
        (["--json", "nowhere/roof.json"], "there is no folder 'nowhere'"),
        (["--threads", "100000"], "--threads 100000 is more than the"),
    ],
)
def test_what_it_refuses_before_measuring(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("rnnbench.roofline.limits.limits", lambda *_: pytest.fail("it has measured"))
    assert main(["roofline", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert said in line


def test_without_matplotlib_a_plot_is_refused(
    tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["roofline", "--plot", str(tmp_path / "roof.svg")]) == 2
    message = "plots need matplotlib, which is not installed; pip install 'rnnbench[plots]'"
    assert capsys.readouterr().err == f"error: {message}\n"
    assert main(["roofline"]) == 0


# ---- the plot --------------------------------------------------------------------------------------------------------


def upright(text: Text) -> Bbox:
    """A label's own box, turned about the origin until the label lies level."""
    box, angle = Text.get_window_extent(text), np.deg2rad(text.get_rotation())
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.array([[cos, sin], [sin, cos]])
    half = np.linalg.solve(turn, [box.width / 2, box.height / 2])
    x, y = (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
    centre = np.array([x * cos + y * sin, y * cos - x * sin])
    return Bbox([centre - half, centre + half])


@pytest.mark.parametrize(("seed", "l2"), [(0, 190e9), (1, 190e9), (2, 100e9), (3, 10.2e9)])
def test_no_label_covers_another(seed: int, l2: float) -> None:
    """Whatever the cases reach, all alike or a few percent to all of the limit; and where two slopes nearly meet."""
    random, (first, second, last) = Random(seed), MADE_UP.levels
    limits = replace(MADE_UP, levels=(first, replace(second, bandwidth=l2), last))
    figure = drawn([point(case, random.uniform(0.05, 1) if seed else 0.5) for case in CASES], limits)
    figure.draw_without_rendering()
    (panel,) = figure.axes
    level = [text for text in panel.texts if not text.get_rotation()]
    turned = [text for text in panel.texts if text.get_rotation()]
    assert (len(level), len(turned)) == (len(CASES) + 1, len(limits.levels))
    boxes = [Text.get_window_extent(text) for text in level] + [panel.get_legend().get_window_extent()]
    around = [Text.get_window_extent(text) for text in turned]
    frame = panel.get_window_extent()
    for box in boxes + around:
        assert frame.x0 <= box.x0 < box.x1 <= frame.x1
        assert frame.y0 <= box.y0 < box.y1 <= frame.y1
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
    assert not any(one.overlaps(other) for one, other in itertools.product(boxes, around))
    assert not any(one.overlaps(other) for one, other in itertools.combinations(map(upright, turned), 2))


def test_the_same_points_give_the_same_file(tmp_path: Path) -> None:
    points = [point(case, 0.5) for case in SMALL]
    one, other = tmp_path / "one.svg", tmp_path / "other.svg"
    draw(points, MADE_UP, one)
    draw(points, MADE_UP, other)
    assert one.read_bytes() == other.read_bytes()
    draw(points, MADE_UP, tmp_path / "one.png")
    assert (tmp_path / "one.png").read_bytes().startswith(b"\x89PNG")
