"""Plugins: one file each adds a cell, a task or a backend, and a broken one harms nobody else."""

import itertools
import locale
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from gradient_check import TOLERANCE, Problem, directional_error, elementwise_error

import rnnbench
from rnnbench import registry as plugins
from rnnbench import restoring
from rnnbench.errors import UnknownName, UsageError
from rnnbench.hookspecs import hookspec
from rnnbench.model import Model
from rnnbench.registry import configure, registry

pytestmark = pytest.mark.usefixtures("default_registry")

# Each of the three is a whole plugin, as a user would write it.

INDRNN = """
from rnnbench import Accumulator, Cell, Stage, hookimpl


def pair(m):
    tanh, d_tanh = m.tanh, m.d_tanh

    def forward(pre, prev):
        a, u = pre
        (h,) = prev
        new = tanh(a + u * h)
        return (new,), (new, u)

    def backward(saved, prev, dstate):
        new, u = saved
        (h,) = prev
        (d,) = dstate
        d = d * d_tanh(new)
        return (d, d * h), (d * u,)

    return forward, backward


INDRNN = Cell(
    id="indrnn",
    title="IndRNN, tanh",
    states=("h",),
    stages=(Stage((Accumulator("a", operand=None), Accumulator("u", sees_x=False, operand=None)), pair),),
    source="Li et al. 2018, arXiv:1803.04831",
)


@hookimpl
def rnnbench_cells():
    return [INDRNN]
"""

TASK = """
import numpy as np

from rnnbench import Budget, Data, Split, Task, hookimpl


def data(seed):
    x = np.random.default_rng(seed).uniform(-1, 1, (4, 64, 1)).astype("float32")
    split = Split(x, x.mean(axis=0))
    return Data(split, split)


def score(prediction, split):
    return float(np.mean((prediction - split.target) ** 2))


@hookimpl
def rnnbench_tasks():
    return [
        Task(
            id="mean", title="Mean of four", source="made up", input_size=1, output_size=1, readout="last", loss="mse",
            score_name="mse", score_better="lower", baseline=1 / 12, margin=0.01, budget=Budget(steps=50),
            data=data, score=score,
        )
    ]
"""

BACKEND = """
from rnnbench import BackendInfo, hookimpl


def make(threads):
    from rnnbench.backends.numpy_reference import NumpyBackend

    return NumpyBackend(threads)


@hookimpl
def rnnbench_backends():
    return [BackendInfo(id="mirror", title="NumPy again", factory="FILE:make")]
"""

unique = itertools.count()


@pytest.fixture
def write(tmp_path, capfd):
    """Writes a one-file plugin and gives its path; a name of its own, unless one is asked for."""

    def write(source: str, name: str | None = None) -> Path:
        path = tmp_path / f"{name or f'plugin_{next(unique)}'}.py"
        path.write_text(textwrap.dedent(source).replace("FILE", path.stem))
        return path

    return write


def load(*requests: Path | str) -> plugins.Registry:
    return configure([str(request) for request in requests])


def only_problem(found: plugins.Registry) -> tuple[str, str]:
    """(plugin, message) of the one problem there is; a message is one line."""
    (problem,) = found.problems
    assert "\n" not in problem.message
    return problem.plugin, problem.message


def ids(found: plugins.Registry) -> tuple[set[str], set[str], set[str]]:
    return set(found.cells), set(found.tasks), set(found.backends)


@pytest.fixture
def builtin() -> tuple[set[str], set[str], set[str]]:
    """What is registered without any plugin of ours: a broken plugin must leave exactly this."""
    found = configure([])
    assert found.problems == []
    assert "lstm" in found.cells
    assert "numpy" in found.backends
    return ids(found)


# ---- one file each ---------------------------------------------------------------------------------------------------


def check_cell_and_task_and_backend() -> None:
    """The plugins of this file, through the public names, to the same standard as the built-in ones."""
    model = Model("indrnn", 2, 3, 2, layers=2, bidirectional=True, readout="all", dtype="float64")
    assert set(model.parameter_shapes()) >= {"layers.0.forward.W", "layers.0.forward.b"}
    assert "layers.0.forward.R" not in model.parameter_shapes()
    assert directional_error(Problem(model, T=5, B=3, ragged=True)) < TOLERANCE
    small = Model("indrnn", 1, 2, dtype="float64")
    assert elementwise_error(Problem(small, T=4, B=2)) < TOLERANCE

    task = registry().task("mean")
    params = small.init(0)
    session = rnnbench.session("mirror", small, params)
    y, (h,) = session.forward(task.data(0).test.x)
    expected = np.zeros((64, 2))
    W, (b, u) = params["layers.0.forward.W"][0, :, 0], params["layers.0.forward.b"]
    for x_t in task.data(0).test.x:
        expected = np.tanh(x_t * W + b + u * expected)
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-13)
    np.testing.assert_array_equal(h[0], y)


def test_a_cell_a_task_and_a_backend_of_one_file_each(write, builtin):
    files = [write(INDRNN, "my_cell"), write(TASK, "my_task"), write(BACKEND, "my_backend")]
    found = load(*files)
    assert found.problems == []
    assert ids(found) == (builtin[0] | {"indrnn"}, builtin[1] | {"mean"}, builtin[2] | {"mirror"})
    assert {name: found.plugins[name] for name in ("my_cell", "my_task", "my_backend")} == {
        path.stem: str(path) for path in files
    }
    assert plugins.requests() == tuple(str(path) for path in files)
    check_cell_and_task_and_backend()


def test_a_module_on_the_path_is_a_plugin_too(write, builtin, monkeypatch):
    monkeypatch.syspath_prepend(write(INDRNN, "indrnn_module").parent)
    found = load("indrnn_module")
    assert found.problems == []
    assert ids(found)[0] == builtin[0] | {"indrnn"}


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Installs a module as a distribution with an entry point, in a folder on the path."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(site)

    def install(name: str, source: str, version: str = "1.2") -> None:
        (site / f"{name}.py").write_text(textwrap.dedent(source).replace("FILE", name))
        info = site / f"{name}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[rnnbench]\n{name} = {name}\n")

    return install


def test_installed_plugins_are_found_by_their_entry_points(install, builtin):
    for name, source in (("dist_cell", INDRNN), ("dist_task", TASK), ("dist_backend", BACKEND)):
        install(name, source)
    found = load()
    assert found.problems == []
    assert ids(found) == (builtin[0] | {"indrnn"}, builtin[1] | {"mean"}, builtin[2] | {"mirror"})
    assert found.plugins["dist_cell"] == "dist_cell 1.2"
    check_cell_and_task_and_backend()


def test_a_broken_installed_plugin_is_reported_and_can_be_refused(install, builtin):
    install("dist_broken", "import no_such_module\n")
    install("dist_fine", INDRNN)
    found = load()
    assert only_problem(found) == ("dist_broken", "ModuleNotFoundError: No module named 'no_such_module'")
    assert "indrnn" in found.cells
    assert load("no:dist_broken").problems == []


# ---- broken plugins --------------------------------------------------------------------------------------------------

HOOKS = "the hooks are rnnbench_backends, rnnbench_baselines, rnnbench_cells, rnnbench_converters, rnnbench_tasks"
BROKEN = {
    "import error": ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
    "syntax error": ("def (", "SyntaxError: "),
    "exit at import": ("import sys; sys.exit(3)", "SystemExit: 3"),
    "usage error at import": (
        "import rnnbench\nrnnbench.Model('no-such-cell', 1, 1)",
        "UnknownName: unknown cell 'no-such-cell'",
    ),
    "no message": ("raise RuntimeError", "RuntimeError: no message"),
    "two lines": ("raise RuntimeError('first\\nsecond')", "RuntimeError: first"),
    "unknown hook": (
        """
        from rnnbench import hookimpl
        @hookimpl
        def rnnbench_cell(): return []
        """,
        "has an unknown hook rnnbench_cell; did you mean 'rnnbench_cells'?",
    ),
    "hook near nothing": (
        "def rnnbench_xyzzy(): pass",
        "has an unknown hook rnnbench_xyzzy; " + HOOKS,
    ),
    "no hook": ("X = 1", "has no hook; " + HOOKS),
    "unmarked hook": ("def rnnbench_cells(): return []", "has rnnbench_cells without @rnnbench.hookimpl; mark it"),
    "wrong arguments": (
        """
        from rnnbench import BackendInfo, hookimpl
        @hookimpl
        def rnnbench_backends(): return [BackendInfo("good", "Good", "a:b")]
        @hookimpl
        def rnnbench_cells(config): return []
        """,
        "rnnbench_cells takes no arguments; got config",
    ),
    "hook raises": (
        """
        from rnnbench import hookimpl
        @hookimpl
        def rnnbench_cells(): return 1 / 0
        """,
        "ZeroDivisionError: division by zero",
    ),
    "hook exits half way": (
        """
        from rnnbench import hookimpl
        @hookimpl
        def rnnbench_tasks():
            yield from ()
            raise SystemExit("enough")
        """,
        "SystemExit: enough",
    ),
    "hook returns None": (
        """
        from rnnbench import hookimpl
        @hookimpl
        def rnnbench_cells(): pass
        """,
        "TypeError: 'NoneType' object is not iterable",
    ),
    "wrong type": (
        """
        from rnnbench import hookimpl
        @hookimpl
        def rnnbench_cells(): return ["lstm"]
        """,
        "rnnbench_cells must give Cell objects; got str",
    ),
    "a cell among backends": (
        INDRNN.replace("rnnbench_cells", "rnnbench_backends"),
        "rnnbench_backends must give BackendInfo objects; got Cell",
    ),
    "cell that cannot be": (INDRNN.replace('("h",),\n', '("c",),\n'), "ValueError: cell 'indrnn': its first state"),
    "invalid id": (INDRNN.replace('id="indrnn"', 'id="../etc"'), "offers the id '../etc'; an id is lower-case letters"),
    "upper case": (INDRNN.replace('id="indrnn"', 'id="IndRNN"'), "offers the id 'IndRNN'"),
    "long id": (INDRNN.replace('id="indrnn"', 'id="a" * 65'), "64 at most"),
    "no id": (INDRNN.replace('id="indrnn"', "id=None"), "offers the id None"),
    "API too new": (
        BACKEND.replace("title", "api=2, title"),
        "backend 'mirror' speaks plugin API 2, this rnnbench 1; install a newer rnnbench",
    ),
    "API too old": (
        BACKEND.replace("title", "api=0, title"),
        "backend 'mirror' speaks plugin API 0, this rnnbench 1; install a newer version of the plugin",
    ),
    "API no number": (BACKEND.replace("title", "api='2', title"), "backend 'mirror' speaks plugin API '2'"),
    "a field of the future": (
        BACKEND.replace("title", "quantum=True, title"),
        "TypeError: BackendInfo.__init__() got an unexpected keyword argument 'quantum'",
    ),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_plugin_is_named_and_the_others_work_on(fault, write, builtin):
    source, expected = BROKEN[fault]
    broken, fine = write(source, "broken"), write(TASK, "fine")
    found = load(broken, fine)
    plugin, message = only_problem(found)
    assert plugin == "broken"
    assert expected in message
    assert ids(found) == (builtin[0], builtin[1] | {"mean"}, builtin[2])
    assert load("no:broken", broken, fine).problems == []


def test_a_bad_offer_does_not_take_the_good_ones_along(write, builtin):
    found = load(write(INDRNN.replace("[INDRNN]", "[INDRNN, 7]"), "half"))
    assert only_problem(found) == ("half", "rnnbench_cells must give Cell objects; got int")
    assert ids(found)[0] == builtin[0] | {"indrnn"}


def test_two_plugins_with_one_id_are_both_named_and_neither_wins(write, builtin):
    first, second = write(INDRNN, "first"), write(INDRNN, "second")
    found = load(first, second)
    plugin, message = only_problem(found)
    assert plugin == "first and second"
    assert message == "both offer the cell 'indrnn'; turn one off with -p no:NAME"
    assert ids(found) == builtin
    found = load(first, second, "no:first")
    assert found.problems == []
    assert "indrnn" in found.cells


def test_nobody_takes_a_built_in_id_silently(write, builtin):
    usurper = write(INDRNN.replace('id="indrnn"', 'id="lstm"'), "usurper")
    found = load(usurper)
    plugin, message = only_problem(found)
    assert plugin == "cells.lstm and usurper"
    assert "both offer the cell 'lstm'" in message
    assert ids(found)[0] == builtin[0] - {"lstm"}
    assert "lstm" in load(usurper, "no:usurper").cells


def test_two_plugins_of_one_name(write, tmp_path, builtin):
    (tmp_path / "other").mkdir()
    first, second = write(INDRNN, "same"), write(TASK, "other/same")
    plugin, message = only_problem(load(first, second))
    assert plugin == "same"
    assert message == f"is there twice ({first}; {second}); the first is used"
    assert ids(registry()) == (builtin[0] | {"indrnn"}, *builtin[1:])


@pytest.mark.parametrize("name", ["copy", "numpy"])
def test_a_file_named_like_a_module_does_not_take_its_place(name, write, builtin):
    before = __import__(name)
    plugin, message = only_problem(load(write(TASK, name)))
    assert plugin == name
    assert message == f"ImportError: the name {name!r} belongs to another module; rename the file"
    assert sys.modules[name] is before
    assert ids(registry()) == builtin


def test_ten_megabytes_printed_at_import_stay_off_our_output(write, builtin, capfd):
    loud = write("print('x' * 10_000_000)\n" + INDRNN.replace("return [INDRNN]", "print('y'); return [INDRNN]"))
    found = load(loud)
    assert found.problems == []
    assert "indrnn" in found.cells
    assert capfd.readouterr().out == ""


def test_a_keyboard_interrupt_is_the_user_s(write):
    with pytest.raises(KeyboardInterrupt):
        load(write("raise KeyboardInterrupt"))


def test_a_module_attribute_is_no_hook(write, builtin):
    """A package rnnbench_torch that imports its own submodule holds a module of that name."""
    found = load(write("import types\nrnnbench_torch = types.ModuleType('rnnbench_torch')\n" + INDRNN))
    assert found.problems == []


def test_a_plugin_that_asks_for_the_registry_while_it_loads(write, builtin):
    """It sees the others; and what `-p` asked for still reaches the workers."""
    early = write("from rnnbench import Model\nMODEL = Model('lstm', 1, 1)\n" + INDRNN, "early")
    plugins._current = None
    assert load(early).problems == []
    assert plugins.requests() == (str(early),)
    assert "indrnn" in registry().cells


# ---- refusing, and asking for what is not there ----------------------------------------------------------------------


def test_built_ins_are_plugins_and_can_be_turned_off(builtin):
    found = load("no:cells.lstm", "no:backends.numpy_reference")
    assert found.problems == []
    assert ids(found) == (builtin[0] - {"lstm"}, builtin[1], builtin[2] - {"numpy"})
    with pytest.raises(UnknownName, match="unknown cell 'lstm'"):
        Model("lstm", 1, 1)


def test_turning_off_what_is_not_there_is_a_usage_error(builtin):
    with pytest.raises(UnknownName) as raised:
        load("no:cells.lstn")
    assert str(raised.value) == "unknown plugin 'cells.lstn'; did you mean 'cells.lstm'?"


def test_a_file_is_turned_off_by_its_name_without_the_ending(write, builtin):
    path = write(INDRNN, "my_cell")
    with pytest.raises(UnknownName, match=r"unknown plugin 'my_cell.py'; did you mean 'my_cell'\?"):
        load(path, "no:my_cell.py")
    assert ids(load(path, "no:my_cell")) == builtin


def test_code_that_built_ins_share_is_not_listed_as_a_plugin(builtin):
    modules = [sys.modules[f"rnnbench.{name}"] for name, where in registry().plugins.items() if where == "built in"]
    assert len(modules) > 5
    for module in modules:
        assert any(name.startswith("rnnbench_") for name in vars(module))


def test_a_file_that_is_not_there_is_a_usage_error(tmp_path):
    path = tmp_path / "absent.py"
    with pytest.raises(UsageError) as raised:
        load(path)
    assert str(raised.value) == f"there is no plugin file {str(path)!r}; -p takes a .py file, a module or no:NAME"


def test_a_failed_request_leaves_the_registry_as_it_was(tmp_path):
    before = registry()
    with pytest.raises(UsageError):
        load(tmp_path / "absent.py")
    assert registry() is before
    assert plugins.requests() == ()


def test_unknown_names_are_one_line_with_a_suggestion():
    for kind, near, right in (("cell", "gru2", "gru"), ("backend", "nunpy", "numpy")):
        with pytest.raises(UnknownName) as raised:
            getattr(registry(), kind)(near)
        assert str(raised.value) == f"unknown {kind} {near!r}; did you mean {right!r}?"


# ---- the contract ----------------------------------------------------------------------------------------------------


def test_the_hooks_are_the_kinds():
    from rnnbench import hookspecs

    marked = [name for name, value in vars(hookspecs).items() if hasattr(value, f"{hookspec.project_name}_spec")]
    assert sorted(marked) == sorted(f"rnnbench_{kind}" for kind in plugins.KINDS)


def test_a_backend_that_needs_what_is_not_installed_says_so(write):
    source = BACKEND.replace("BackendInfo(", "BackendInfo(requires=(Requirement('no_such.part', 'pip install it'),), ")
    load(write(source.replace("import BackendInfo", "import BackendInfo, Requirement")))
    with pytest.raises(UsageError) as raised:
        rnnbench.session("mirror", Model("lstm", 1, 1), {})
    assert str(raised.value) == "backend 'mirror' needs no_such.part, which is not installed; pip install it"


def test_loading_plugins_imports_no_backend_s_runtime():
    """`--help` must be fast with every plugin installed: descriptions only, in the main process."""
    code = (
        "import sys; from rnnbench.registry import registry; found = registry(); "
        "sys.exit(sorted({'numba', 'llvmlite', 'pandas', 'torch', 'keras', 'jax', 'onnxruntime'} & set(sys.modules))"
        " != [] or found.problems != [])"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


CONVERTER = """
from rnnbench import Converter, hookimpl

@hookimpl
def rnnbench_converters():
    return [Converter("own", ".own", "Own", print, print)]
"""
# By source: what is changed in it, and how the complaint begins after the offer's name.
CANNOT_BE = {
    BACKEND: [
        ('title="NumPy again"', "title=3", "title cannot be 3"),
        ('title="NumPy again"', "title=''", "title cannot be ''"),
        ('title="NumPy again"', "title='x' * 201", "title cannot be"),
        ('title="NumPy again"', "title='\\x1b[31m'", "title must be printable"),
        ('factory="FILE:make"', "factory='FILE.make'", "factory must be like 'package.module:function'"),
        ('factory="FILE:make"', "factory=print", "factory cannot be"),
        ("title", "dtypes=('float16',), title", "dtypes cannot be"),
        ("title", "dtypes=(), title", "dtypes must not be empty"),
        ("title", "dtypes='float32', title", "dtypes cannot be 'float32'"),
        ("title", "cells=7, title", "cells cannot be 7"),
        ("title", "cells=('../x',), title", "cells must be like 'a-name'"),
        ("title", "devices=(None,), title", "devices cannot be None"),
        ("title", "requires=('torch',), title", "requires must be a Requirement; got str"),
        ("title", "requires='torch', title", "requires cannot be 'torch'"),
        ("title", "trains='no', title", "trains cannot be 'no'"),
    ],
    TASK: [
        ("input_size=1", "input_size=0", "input_size cannot be 0"),
        ("input_size=1", "input_size=True", "input_size cannot be True"),
        ("input_size=1", "input_size=10**30", "input_size cannot be"),
        ("output_size=1", "output_size=1.5", "output_size cannot be 1.5"),
        ('readout="last"', "readout='first'", "readout cannot be 'first'"),
        ('loss="mse"', "loss='mae'", "loss cannot be 'mae'"),
        ('score_better="lower"', "score_better='less'", "score_better cannot be 'less'"),
        ('score_name="mse"', "score_name='m\\nse'", "score_name must be printable"),
        ("baseline=1 / 12", "baseline=float('nan')", "baseline cannot be nan"),
        ("baseline=1 / 12", "baseline=None", "baseline cannot be None"),
        ("margin=0.01", "margin=-1", "margin cannot be -1"),
        ("margin=0.01", "margin=float('inf')", "margin cannot be inf"),
        ("data=data", "data=data(0)", "data must be a function; got Data"),
        ("score=score", "score=None", "score must be a function; got NoneType"),
        ("budget=Budget(steps=50)", "budget=50", "budget must be a Budget; got int"),
        ("steps=50", "steps=-1", "steps cannot be -1"),
        ("steps=50", "steps=50, batch_size=0", "batch_size cannot be 0"),
        ("steps=50", "steps=50, hidden_size='32'", "hidden_size cannot be '32'"),
        ("steps=50", "steps=50, recurrent='zeros'", "recurrent cannot be 'zeros'"),
        ("steps=50", "steps=50, forget_bias='1'", "forget_bias cannot be '1'"),
        ("steps=50", "steps=50, optimiser='adam'", "optimiser must be a Adam; got str"),
    ],
    INDRNN: [
        ('title="IndRNN, tanh"', "title=None", "title cannot be None"),
        ('states=("h",)', 'states=("h", "h;")', "states must be like 'a-name'"),
        (", pair),)", ", 'pair'),)", "pair must be a function; got str"),
    ],
    CONVERTER: [
        ('".own"', '"own"', "suffix must be like '.onnx'"),
        ('".own"', "None", "suffix cannot be None"),
        ("print, print", "print, 'w'", "write must be a function; got str"),
    ],
}


@pytest.mark.parametrize(
    ("source", "old", "new", "words"), [(source, *case) for source, cases in CANNOT_BE.items() for case in cases]
)
def test_an_offer_that_cannot_be_is_refused_by_its_field(write, builtin, source, old, new, words):
    assert source.count(old) == 1
    assert load(write(source)).problems == []
    plugin, message = only_problem(load(write(source.replace(old, new), "odd")))
    assert plugin == "odd"
    assert words in message
    assert message.split(" ")[0] in ("backend", "task", "cell", "converter")
    assert message.isprintable()
    assert len(message) < 250
    assert ids(registry()) == builtin


# ---- what a plugin does to the process -------------------------------------------------------------------------------

CHANGES = {
    "the environment": "import os; os.environ['OMP_NUM_THREADS'] = '7'; del os.environ['HOME']",
    "the working directory": "import os; os.chdir('/')",
    "names of Python's own modules": "import time; time.perf_counter = time.time",
    "NumPy's handling of errors": "import numpy; numpy.seterr(all='raise')",
    "the handlers of signals": "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)",
    "what traces or profiles": "import sys; sys.setprofile(lambda *_: None)",
    "the garbage collector": "import gc; gc.set_threshold(1)",
    "the switch interval": "import sys; sys.setswitchinterval(1)",
    "the recursion limit": "import sys; sys.setrecursionlimit(5000)",
    "the filters of warnings": "import warnings; warnings.simplefilter('ignore')",
    "the cores that it may use": "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})",
    "the locale": "import locale; locale.setlocale(locale.LC_ALL, 'C')",
    "the threads that run": "import threading; threading.Timer(0.5, int).start()",
}


@pytest.mark.parametrize("what", CHANGES)
@pytest.mark.parametrize("where", ["import", "hook"])
def test_what_a_plugin_changes_is_put_back_and_named(write, builtin, monkeypatch, what, where):
    """All but threads, which nobody can end: these end by themselves."""
    if what == "the cores that it may use" and len(getattr(os, "sched_getaffinity", lambda _: [])(0)) < 2:
        pytest.skip("one core cannot be made fewer")
    monkeypatch.setenv("HOME", "/home/somebody")
    locale.setlocale(locale.LC_ALL, "C.UTF-8")
    read = {name: reads for name, (reads, _) in restoring.SHARED.items()}
    before = {name: reads() for name, reads in read.items()}
    change = CHANGES[what]
    source = (
        f"{change}\n{INDRNN}" if where == "import" else INDRNN.replace("    return [", f"    {change}\n    return [")
    )
    found = load(path := write(source))
    assert only_problem(found) == (path.stem, f"changes {what} when it is found; it must do so in a backend's factory")
    assert {name: reads() for name, reads in read.items()} == before
    assert "indrnn" in found.cells


def test_what_a_plugin_writes_or_closes_leaves_our_output_as_it_is(write, capfd):
    load(write("import os, sys\nos.write(1, b'at import')\nos.close(1)\nsys.stdout = None\n" + INDRNN))
    sys.stdout.write("ours")
    sys.stdout.flush()
    assert capfd.readouterr().out == "ours"


def test_only_the_plugins_that_are_needed_are_imported(write):
    cell, other = write(INDRNN, "needed_cell"), write("raise AssertionError", "other_plugin")
    assert load(cell).needed(cells=["indrnn", "gru"], backends=["numpy"]) == ("needed_cell",)
    found = configure([str(cell), str(other)], ("needed_cell",))
    assert found.problems == []
    assert {name for name, origin in found.plugins.items() if origin != plugins.BUILT_IN} == {"needed_cell"}
    assert not found.built_in("cells", "indrnn")
    assert found.built_in("cells", "gru")
