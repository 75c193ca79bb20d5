import io
import re
import threading
import time

import pytest
from rich.cells import cell_len
from rich.console import Console
from stored_runs import failed, record

from rnnbench.cli import _progress
from rnnbench.cli._console import note
from rnnbench.cli._progress import Estimate, LineProgress, LiveProgress
from rnnbench.comparison.plan import Group

GROUP = Group("sine", "gru", 32, 1, False, "float32", 1, 0)


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What a terminal of 100 columns gets."""
    file = io.StringIO()
    terminal = Console(file=file, force_terminal=True, width=100, color_system=None)
    monkeypatch.setattr(_progress, "console", lambda stderr: terminal)
    monkeypatch.setattr(_progress, "REFRESH_SECONDS", 0.01)
    return file


def test_time_left_follows_from_finished_groups() -> None:
    estimate = Estimate()
    estimate.plan(total=10, done=4)
    assert estimate.left() is None
    estimate.add(2.0)
    estimate.add(4.0)
    assert estimate.left() == pytest.approx(3.0 * 4)


def test_plain_lines_tell_each_group_and_what_failed(capsys: pytest.CaptureFixture[str]) -> None:
    plain = LineProgress(note)
    plain.planned(2, 0, ["numba", "torch"], ["keras is left out"])
    good = record("sine", "gru", "numba", 0)
    plain.finished(GROUP, [good, failed(record("sine", "gru", "torch", 0), "oom", "too big")], 3.0)
    plain.finished(GROUP, [good], 1.0)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.splitlines() == [
        "note: keras is left out",
        "2 groups, each on numba and torch",
        "[1/2] sine gru h32 seed 0: torch oom, 3.00 s; about 3 s left",
        "[2/2] sine gru h32 seed 0: ok, 1.00 s; done",
    ]


def test_nothing_is_drawn_while_a_clock_runs(screen: io.StringIO) -> None:
    with LiveProgress() as live:
        live.planned(3, 1, ["numba"], [])
        live.stage(GROUP, "numba", "timing")
        live.clock(True)
        before = screen.tell()
        live.stage(GROUP, "numba", "still timing")
        time.sleep(0.1)  # ten refreshes' time
        assert screen.tell() == before
        live.clock(False)
        deadline = time.monotonic() + 5
        while screen.tell() == before and time.monotonic() < deadline:
            time.sleep(0.01)
        assert screen.tell() > before
    assert "numba still timing" in screen.getvalue()


def test_the_line_does_not_break_where_it_is_too_long(screen: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Console(file=screen, force_terminal=True, width=80, color_system=None)
    monkeypatch.setattr(_progress, "console", lambda stderr: terminal)
    with LiveProgress() as live:
        live.planned(4, 0, ["numba"], [])
        live.stage(
            Group("csv-shops-of-a-long-name", "rnn-tanh", 128, 1, False, "float32", 1, 0), "onnxruntime", "training"
        )
        live._bar.refresh()
        lines = screen.getvalue().replace("\r", "\n").splitlines()
        drawn = [cell_len(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line)) for line in lines if "csv-shops" in line]
    assert drawn
    assert max(drawn) <= 80
    assert not any("training" in line and "csv-shops" not in line for line in lines)


def test_the_bar_tells_time_left_and_failures(screen: io.StringIO) -> None:
    with LiveProgress() as live:
        live.planned(4, 0, ["numba"], ["[bold]torch[/] is left out"])
        live.finished(GROUP, [failed(record("sine", "gru", "numba", 0), "crashed", "no")], 7.0)
        live.stage(GROUP, "numba", "training")
        time.sleep(0.05)
    shown = screen.getvalue()
    assert "about 21 s left" in shown
    assert "1/4" in shown
    assert "numba crashed" in shown


def test_leaving_ends_the_drawing_even_with_the_clock_on(screen: io.StringIO) -> None:
    before = threading.active_count()
    with LiveProgress() as live:
        live.clock(True)
    assert threading.active_count() == before
