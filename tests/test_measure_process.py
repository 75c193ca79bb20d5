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

from rnnbench.backends.base import BackendInfo
from rnnbench.comparison.messages import CasePaths, CaseRequest
from rnnbench.model import Model
from rnnbench.training import Adam
from rnnbench.workers.failure import Failure
from rnnbench.workers.messages import MaybeNaN, answering, encode
from rnnbench.workers.sandbox import Sandbox
from rnnbench.workers.serve import BackendLoader
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


@pytest.mark.parametrize("reply", ["ok", "learned", 3])
def test_a_failure_that_is_none_of_the_known_ones_is_no_reply(worker, reply):
    told = json.dumps({"failed": [reply, "no reason"]})
    assert "not a reply" in fails(worker(READ + f"print({told!r}, flush=True); sys.stdin.read()"), "bad_output")


def test_a_second_answer_is_not_taken_for_that_of_the_next_request(worker):
    one = worker(READ + 'print(\'{"done": null}\\n{"done": null}\', flush=True); sys.stdin.read()')
    assert one.ask(Script.nudge) is None
    time.sleep(0.2)
    assert "answered what it was not asked" in fails(one, "bad_output")
    assert not one.alive


SERVING = """
import os, time
from rnnbench.workers import serve

class Forks:
    def nudge(self) -> None: os.fork()
    def abandon(self) -> None:
        if os.fork() == 0:  # leaves no sign of itself but the pipe, which it keeps
            if os.fork() == 0:
                os.setsid()
                start, end = [int(n) for n in open("/proc/self/stat").read().rsplit(")", 1)[1].split()[47:49]]
                with open("/proc/self/mem", "r+b") as memory:
                    memory.seek(start)
                    memory.write(bytes(end - start))
                time.sleep(60)
            os._exit(0)
    def last(self) -> None: os._exit(3)

serve.ADOPT
serve.serve(serve_actions(Forks()), lambda error: ("crashed", repr(error)))
"""


class Forking(Script):
    def abandon(self) -> None: ...

    def last(self) -> None: ...


def forking(worker, adopts):
    script = SERVING.replace("serve.ADOPT", "serve.adopt_orphans()" if adopts else "")
    return worker("from rnnbench.workers.messages import answering as serve_actions" + script)


def test_a_child_that_comes_back_from_a_fork_does_not_answer(worker):
    one = forking(worker, adopts=True)
    for _ in range(20):
        assert one.ask(Forking.nudge) is None
    time.sleep(0.2)
    assert one._replies.empty()
    assert len(one._tree()) == 1 + sum(process.status() == "zombie" for process in one._tree())


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
@pytest.mark.parametrize("adopts", [False, True])
def test_a_daemon_that_keeps_the_pipe_and_hides_is_ended_and_hangs_nobody(worker, adopts):
    one = forking(worker, adopts)
    one.ask(Forking.abandon)
    end = os.readlink(f"/proc/self/fd/{one._process.stdout.fileno()}")
    start = time.monotonic()
    with pytest.raises(Failure, match="exited with code 3"):
        one.ask(Forking.last)
    assert time.monotonic() - start < 8
    assert not one._reader.is_alive()
    assert [pid for pid in psutil.pids() if pid != os.getpid() and end in links(pid)] == []


def links(pid):
    try:
        return [os.readlink(f"/proc/{pid}/fd/{number}") for number in os.listdir(f"/proc/{pid}/fd")]
    except OSError:
        return []


def test_the_end_of_a_log_without_end_is_read_alone(worker, tmp_path, monkeypatch):
    one = worker(READ + "sys.stderr.write('x' * 50_000_000 + '\\nthe end'); sys.exit(3)")
    monkeypatch.setattr(type(one._log), "read_bytes", lambda _: pytest.fail("read as a whole"))
    assert fails(one, "crashed").endswith("its last words: the end")


def test_a_folder_of_our_name_where_the_user_stands_is_not_imported(tmp_path, monkeypatch):
    (tmp_path / "rnnbench").mkdir()
    (tmp_path / "rnnbench" / "__init__.py").write_text("raise SystemExit('the wrong one')")
    (tmp_path / "beside.py").write_text("from rnnbench.backends.numpy_reference import NumpyBackend as make")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    with Sandbox(WorkerLimits()) as sandbox:
        worker = sandbox.start(BackendInfo("beside", "Beside", "beside:make"), 1, plugins=[])
        assert worker.receive(BackendLoader.load, 60)
        reapers = [child for child in psutil.Process().children() if sandbox.marker in child.cmdline()]
        assert len(reapers) == 1  # it lives: a wrong one would have ended at once
        assert reapers[0].status() != psutil.STATUS_ZOMBIE


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
