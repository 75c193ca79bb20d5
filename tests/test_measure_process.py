"""One worker process and everything that can go wrong with it."""

import json
import math
import os
import sys
import time
from dataclasses import dataclass

import psutil
import pytest
from marks import marked

from rnnbench.comparison.messages import CasePaths, CaseRequest
from rnnbench.model import Model
from rnnbench.training import Adam
from rnnbench.workers.failure import Failure
from rnnbench.workers.messages import MaybeNaN, answering, encode
from rnnbench.workers.sandbox import Sandbox
from rnnbench.workers.worker import Worker, WorkerLimits, memory_limit

GIB = 1024**3


@dataclass(frozen=True)
class Pong:
    x: int
    loss: MaybeNaN | None
    seconds: tuple[float, ...]


class Script:
    """What the scripts of these tests can be asked for."""

    def ping(self) -> Pong: ...

    def nudge(self) -> None: ...

    def open(self, asked: CaseRequest) -> CaseRequest:
        return asked


pytestmark = pytest.mark.skipif(os.name != "posix", reason="the scripts use POSIX signals")


@pytest.fixture
def worker(tmp_path, request):
    """Starts a worker that runs a script of ours; afterwards nothing of it may be left."""
    started = []

    def start(script, **limits):
        limits = {"memory_bytes": 4 * GIB, "call_seconds": 5.0, "reply_bytes": 10_000, **limits}
        marker = f"test-{os.getpid()}-{request.node.name}"
        log = tmp_path / "log"
        started.append(Worker([sys.executable, "-c", script], dict(os.environ), marker, log, WorkerLimits(**limits)))
        return started[-1]

    yield start
    for one in started:
        one.kill()
        assert not one.alive
        assert marked(one.marker) == []


def fails(worker, status):
    with pytest.raises(Failure) as caught:
        worker.ask(Script.ping)
    assert caught.value.status == status, caught.value.reason
    return caught.value.reason


READ = "import sys; sys.stdin.readline(); "


def test_a_reply_arrives(worker):
    one = worker(READ + """print('{"done": {"x": 1, "loss": null, "seconds": [1, 2.5]}}', flush=True); input()""")
    assert one.ask(Script.ping) == Pong(1, None, (1.0, 2.5))
    assert one.alive


def test_a_reported_failure_leaves_the_worker_alive(worker):
    one = worker(READ + """print('{"failed": ["unsupported", "no GPU"]}', flush=True); sys.stdin.readline()""")
    assert fails(one, "unsupported") == "no GPU"
    assert one.alive


def test_exit_without_a_reply(worker):
    one = worker(READ + "sys.exit(0)")
    assert "exited with code 0 without an answer" in fails(one, "crashed")
    assert not one.alive
    assert "had ended" in fails(one, "crashed")


def test_its_last_words_are_quoted_without_control_characters(worker):
    one = worker(READ + r"print('\x1b[31mout of cheese', file=sys.stderr); sys.exit(3)")
    reason = fails(one, "crashed")
    assert "code 3" in reason
    assert "out of cheese" in reason
    assert "\x1b" not in reason


@pytest.mark.parametrize(("name", "call"), [("SIGSEGV", "os.kill(os.getpid(), 11)"), ("SIGABRT", "os.abort()")])
def test_a_signal_is_named(worker, name, call):
    assert name in fails(worker(READ + f"import os; {call}"), "crashed")


def test_killed_from_outside(worker):
    one = worker(READ + "import time; time.sleep(60)")
    one.send(Script.ping)
    os.kill(one._process.pid, 9)
    with pytest.raises(Failure, match="SIGKILL"):
        one.receive(Script.ping)


@pytest.mark.parametrize(
    "hang",
    [
        "import time; time.sleep(60)",
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)",
        "sum(iter(int, 1))",  # in C, holding the GIL
    ],
)
def test_a_hang_ends_at_the_limit(worker, hang):
    one = worker(READ + hang, call_seconds=1.0)
    start = time.monotonic()
    assert "within 1 s" in fails(one, "timeout")
    assert time.monotonic() - start < 5
    assert not one.alive


def test_what_we_were_stopped_for_is_nobodys_time(worker, monkeypatch):
    """By Ctrl-Z, or with the whole machine: the clock leaps, and the worker has had as little of it as we."""
    leaps, clock = iter([0.0, 1000.0]), time.monotonic
    gone = 0.0

    def leaping():
        nonlocal gone
        gone += next(leaps, 0.0)
        return clock() + gone

    one = worker(READ + """import time; time.sleep(1); print('{"done": null}', flush=True); input()""", call_seconds=30)
    one.send(Script.nudge)
    monkeypatch.setattr("rnnbench.workers.worker.time.monotonic", leaping)
    assert one.receive(Script.nudge) is None
    assert gone == 1000.0


def test_a_paused_worker_does_nothing_and_can_be_ended(worker):
    one = worker("import sys\nfor line in sys.stdin: print('{\"done\": null}', flush=True)")
    assert one.ask(Script.nudge) is None
    one.pause()
    one.send(Script.nudge)
    with pytest.raises(Failure, match="no answer"):
        one.receive(Script.nudge, seconds=0.5)
    assert not one.alive


def test_a_resumed_worker_answers(worker):
    one = worker("import sys\nfor line in sys.stdin: print('{\"done\": null}', flush=True)")
    one.pause()
    one.send(Script.nudge)
    one.resume()
    assert one.receive(Script.nudge) is None


@pytest.mark.parametrize("reply", ["hello", "[1]", '{"done"', '{"other": 1}', '{"failed": 3}', "[" * 5000])
def test_what_is_not_a_reply(worker, reply):
    assert "not a reply" in fails(worker(READ + f"print({reply!r}, flush=True); sys.stdin.read()"), "bad_output")


@pytest.mark.parametrize(
    ("reply", "complaint"),
    [
        ('{"loss": 1, "seconds": []}', "x is missing"),
        ('{"x": 1.5, "loss": 1, "seconds": []}', "x is 1.5"),
        ('{"x": true, "loss": 1, "seconds": []}', "x is True"),
        ('{"x": 1, "loss": "1", "seconds": []}', "loss is '1'"),
        ('{"x": 1, "loss": 1, "seconds": [0, NaN]}', "seconds is nan"),
        ('{"x": 1, "loss": 1, "seconds": {}}', "seconds is {}"),
        ('{"x": 1, "loss": 1, "seconds": [%s]}' % ("9" * 400), "too large"),
        ('{"x": 1, "loss": 1, "seconds": [], "y": 0}', "y is not one of its fields"),
        ("[1]", "[1] is not an object"),
    ],
)
def test_a_reply_of_another_shape_names_what_was_asked(worker, reply, complaint):
    one = worker(READ + f"print({reply!r}.join(['{{\"done\": ', '}}']), flush=True); sys.stdin.read()")
    reason = fails(one, "bad_output")
    assert reason.startswith("answered ping with what does not fit: ")
    assert complaint in reason
    assert not one.alive


def test_a_request_arrives_as_it_was_sent():
    actions = answering(Script())
    paths = CasePaths("params.npz", "batch.npz", "train.npz", "test.npz")
    for output_size, clip_norm in ((None, None), (2, 1)):
        model = Model("gru", 1, 4, output_size, layers=2, readout="all")
        asked = CaseRequest(model, 8, True, "mse", Adam(1e-2, clip_norm=clip_norm), 0, paths)
        sent = json.loads(encode(Script.open, asked))
        assert actions[sent["do"]](sent["with"]) == asked
    sent["with"]["asked"]["model"]["readout"] = "first"
    with pytest.raises(ValueError, match="readout is 'first'"):
        actions["open"](sent["with"])


def test_nan_is_a_reply_where_it_means_something(worker):
    one = worker(READ + """print('{"done": {"x": 1, "loss": NaN, "seconds": []}}', flush=True); input()""")
    assert math.isnan(one.ask(Script.ping).loss)


def test_a_reply_without_end(worker):
    one = worker(READ + "\nwhile True: sys.stdout.write('x' * 65536)")
    assert "more than 10000 bytes" in fails(one, "bad_output")


def test_memory_past_the_limit(worker):
    one = worker(READ + "import time; b = b'x' * 300_000_000; time.sleep(60)", memory_bytes=200_000_000)
    assert "GiB" in fails(one, "oom")


def test_memory_of_children_counts(worker):
    child = "import time; b = b'x' * 300_000_000; time.sleep(60)"
    script = READ + f"import subprocess; subprocess.run([sys.executable, '-c', {child!r}])"
    fails(worker(script, memory_bytes=200_000_000), "oom")


@pytest.mark.parametrize("own_session", [False, True])
def test_a_child_left_behind_is_ended_too(worker, own_session):
    start = f"subprocess.Popen(['sleep', '60'], start_new_session={own_session})"
    one = worker(READ + f"import subprocess; {start}; sys.exit(0)")
    assert "exited with code 0" in fails(one, "crashed")
    assert marked(one.marker) == []


def test_the_memory_limit_is_below_what_the_machine_has():
    assert 0 < memory_limit() < psutil.virtual_memory().total


def test_leaving_a_sandbox_leaves_nothing():
    with Sandbox(WorkerLimits()) as sandbox:
        worker = sandbox._workers
        folder, marker = sandbox.folder, sandbox.marker
        (folder / "data.npz").write_bytes(b"x")
        assert oct(folder.stat().st_mode)[-3:] == "700"
        assert worker == []
    assert not folder.exists()
    assert marked(marker) == []
    assert not [one for one in psutil.Process().children() if "rnnbench.workers.reaper" in one.cmdline()]
