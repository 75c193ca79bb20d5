"""The part of a kernel's key that a cell's own functions make: it follows all that they reach, and nothing else."""

import json
import os
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path

import numba
import numpy as np
import pytest

from rnnbench.cells.spec import Accumulator, Cell, Stage
from rnnbench.kernels import cache
from rnnbench.kernels.compiled import LOG, compile_kernel
from rnnbench.kernels.fingerprint import NotFollowed, fingerprint
from rnnbench.kernels.layout import PanelLayout
from rnnbench.registry import registry

CELL = """
import os, functools, collections, enum, math, operator
import numpy as np
from numba import njit
from numba.extending import intrinsic, overload, register_jitable
{top}

def pair(m):
    {inside}
    def forward(pre, prev{more}):
        {value}
        return (value,), ()

    def backward(saved, prev, dstate):
        return (dstate[0],), (m.zero,)

    return forward, backward
{end}
"""
Edit = tuple[str, str]
# What a pair uses, and an edit of it: (where it stands, text, edited text) and how the forward function uses it.
USED: dict[str, tuple[str, Edit, str]] = {
    "its own code": ("value", ("value = pre[0] * 2", "value = pre[0] / 2"), ""),
    "a constant": ("value", ("value = pre[0] * 2.0", "value = pre[0] * 3.0"), ""),
    "the sign of a zero": ("value", ("value = pre[0] * 0.0", "value = pre[0] * -0.0"), ""),
    "the type of a number": ("top", ("K = 2", "K = 2.0"), "value = pre[0] * K"),
    "a gate of the namespace": ("value", ("value = m.tanh(pre[0])", "value = m.sigmoid(pre[0])"), ""),
    "a global": ("top", ("K = 2.0", "K = 3.0"), "value = pre[0] * K"),
    "a global rebound later": ("end", ("K = 2.0", "K = 3.0"), "value = pre[0] * K"),
    "a closure": ("inside", ("k = 2.0", "k = 3.0"), "value = pre[0] * k"),
    "a default": ("more", (", k=2.0", ", k=3.0"), "value = pre[0] * k"),
    "a tuple": ("top", ("K = (1, (2.0, 3.0))", "K = (1, (2.0, 3.5))"), "value = pre[0] * K[1][1]"),
    "a set": ("top", ("K = {1, 2}", "K = {1, 3}"), "value = pre[0] * (2 in K)"),
    "a NumPy number": ("top", ("K = np.float32(0.1)", "K = np.float32(0.2)"), "value = pre[0] * K"),
    "its dtype": ("top", ("K = np.float32(0.5)", "K = np.float64(0.5)"), "value = pre[0] * K"),
    "an array": ("top", ("K = np.arange(3.0)", "K = np.arange(3.0) + 1e-9"), "value = pre[0] * K[1]"),
    "its order": (
        "top",
        ("K = np.eye(3)[:2].copy('C')", "K = np.eye(3)[:2].copy('F')"),
        "value = pre[0] * K[1, 1]",
    ),
    "a named tuple": (
        "top",
        ("K = collections.namedtuple('K', 'a')(2.0)", "K = collections.namedtuple('K', 'a')(3.0)"),
        "value = pre[0] * K.a",
    ),
    "a jitted helper": (
        "top",
        ("@njit\ndef act(x): return x * 2", "@njit\ndef act(x): return x * 3"),
        "value = act(pre[0])",
    ),
    "its options": (
        "top",
        ("@njit\ndef act(x): return x * 2", "@njit(fastmath=True)\ndef act(x): return x * 2"),
        "value = act(pre[0])",
    ),
    "a helper's helper": (
        "top",
        (
            "@njit\ndef deep(x): return x * 2\n@njit\ndef act(x): return deep(x)",
            "@njit\ndef deep(x): return x * 3\n@njit\ndef act(x): return deep(x)",
        ),
        "value = act(pre[0])",
    ),
    "a helper that calls itself": (
        "top",
        (
            "@njit\ndef act(x, n): return x if n == 0 else act(x * 2, n - 1)",
            "@njit\ndef act(x, n): return x if n == 0 else act(x * 3, n - 1)",
        ),
        "value = act(pre[0], 2)",
    ),
    "one of two lambdas in a line": (
        "top",
        ("f, g = (lambda x: x), (lambda x: -x); act = njit(f)", "f, g = (lambda x: x), (lambda x: -x); act = njit(g)"),
        "value = act(pre[0])",
    ),
    "a factory's argument": (
        "top",
        (
            "def make(k):\n    def act(x): return x * k\n    return njit(act)\nact = make(2.0)",
            "def make(k):\n    def act(x): return x * k\n    return njit(act)\nact = make(3.0)",
        ),
        "value = act(pre[0])",
    ),
    "a function made by exec": (
        "top",
        (
            "scope = {}\nexec('def act(x): return x * 2', scope)\nact = njit(scope['act'])",
            "scope = {}\nexec('def act(x): return x * 3', scope)\nact = njit(scope['act'])",
        ),
        "value = act(pre[0])",
    ),
    "an inner function": (
        "value",
        (
            "act = lambda x: x * 2\n        value = act(pre[0])",
            "act = lambda x: x * 3\n        value = act(pre[0])",
        ),
        "",
    ),
    "what an inner function reaches": (
        "top",
        ("K = 2.0", "K = 3.0"),
        "act = lambda x: x * K\n        value = act(pre[0])",
    ),
    "a registered helper": (
        "top",
        ("@register_jitable\ndef act(x): return x * 2", "@register_jitable\ndef act(x): return x * 3"),
        "value = act(pre[0])",
    ),
    "an overload": (
        "top",
        (
            "def act(x): ...\n@overload(act)\ndef of(x): return lambda x: x * 2",
            "def act(x): ...\n@overload(act)\ndef of(x): return lambda x: x * 3",
        ),
        "value = act(pre[0])",
    ),
    "an intrinsic": (
        "top",
        (
            "@intrinsic\ndef act(typing, x): return x(x), lambda c, b, s, a: b.fmul(a[0], a[0])",
            "@intrinsic\ndef act(typing, x): return x(x), lambda c, b, s, a: b.fadd(a[0], a[0])",
        ),
        "value = act(pre[0])",
    ),
    "a library's function": ("top", ("act = math.exp", "act = math.sin"), "value = act(pre[0])"),
    "a ufunc": ("top", ("act = np.exp", "act = np.sin"), "value = act(pre[0])"),
    "a builtin": ("top", ("act = abs", "act = float"), "value = act(pre[0])"),
    "a partial pair": (
        "end",
        ("def of(k, m): return lambda pre, prev: ((pre[0] * k,), ()), None\npair = functools.partial(of, 2.0)",
         "def of(k, m): return lambda pre, prev: ((pre[0] * k,), ()), None\npair = functools.partial(of, 3.0)"),
        "value = pre[0]",
    ),
}  # fmt: skip


def text_of(case: str, edited: bool) -> str:
    place, edits, value = USED[case]
    parts = {"top": "", "inside": "", "more": "", "value": value, "end": ""}
    return CELL.format(**parts | {place: edits[edited]})


def module_of(text: str, name: str = "a_cell", path: str = "cell.py") -> types.ModuleType:
    module = types.ModuleType(name)
    exec(compile(text, path, "exec"), vars(module))
    return module


def cell_of(pair: Callable) -> Cell:
    return Cell("own", "Own", ("h",), (Stage((Accumulator("h"),), pair),), "none")


def key_of(pair: Callable, scan: str = "forward") -> str:
    """Not by way of the cell, whose pair would have to run in NumPy too."""
    layout = PanelLayout(cell_of(pair), np.dtype("float32"))
    layout.__dict__["stages"] = ()
    return fingerprint(*layout.made_of(scan))


def key(text: str, scan: str = "forward", **where: str) -> str:
    return key_of(module_of(text, **where).pair, scan)


@pytest.mark.parametrize("case", USED)
def test_what_the_pair_uses_is_in_the_key(case: str) -> None:
    before, after = text_of(case, False), text_of(case, True)
    assert key(before) == key(before)
    assert key(before) != key(after)


def test_forward_and_backward_have_keys_of_their_own() -> None:
    text = text_of("a constant", False)
    edited = text.replace("dstate[0],", "-dstate[0],")
    assert key(text, "forward") == key(edited, "forward")
    assert key(text, "backward") != key(edited, "backward")


@pytest.mark.parametrize("case", USED)
def test_where_it_stands_is_not_in_the_key(case: str) -> None:
    """A comment more, another file, another module, another process's addresses."""
    text = text_of(case, False)
    moved = "# one line more\n\n" + text.replace("    def backward", "    # another\n    def backward")
    assert key(text) == key(moved, name="another", path="elsewhere.py")


MODULE = "import inner\nK = 2.0\nUNUSED = 1\nfrom numba import njit\n@njit\ndef act(x): return x * inner.DEEP"


@pytest.mark.parametrize("value", ["helper.act(pre[0])", "pre[0] * helper.inner.DEEP", "pre[0] * getattr(helper, 'K')"])
def test_helper_modules_are_followed(value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def found(helper: str, inner: str) -> str:
        (tmp_path / "helper.py").write_text(helper)
        (tmp_path / "inner.py").write_text(inner)
        for name in ("helper", "inner"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        return key(CELL.format(top="import helper", inside="", more="", value=f"value = {value}", end=""))

    first = found(MODULE, "DEEP = 2.0")
    assert found("# moved\n" + MODULE.replace("UNUSED = 1", "UNUSED = 2" if "getattr" not in value else "UNUSED = 1"),
                 "DEEP = 2.0") == first  # fmt: skip
    assert found(MODULE.replace("K = 2.0", "K = 3.0"), "DEEP = 3.0") != first


@pytest.mark.parametrize("where", ["top", "inside"])
def test_what_is_read_at_import_or_when_the_pair_is_made_is_followed(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An environment variable and a data file: their values end up in globals and closures."""
    parts = {"top": "", "inside": "", "more": "", "end": "", "value": "value = pre[0] * K * D[0]"}
    read = "K, D = float(os.environ['OF_TEST']), np.loadtxt(os.environ['FILE_OF_TEST'], ndmin=1)"
    text = CELL.format(**parts | {where: read})
    data = tmp_path / "data.txt"
    monkeypatch.setenv("FILE_OF_TEST", str(data))
    keys = []
    for variable, content in (("1", "2"), ("3", "2"), ("1", "4"), ("1", "2")):
        monkeypatch.setenv("OF_TEST", variable)
        data.write_text(content)
        keys.append(key(text))
    assert len({*keys}) == 3
    assert keys[0] == keys[3]


@pytest.mark.parametrize(
    ("top", "value", "named"),
    [
        ("import threading; K = threading.Lock()", "value = pre[0] * K.locked()", "K, a lock"),
        ("K = np.array([object()])", "value = pre[0] * K.size", "K, a ndarray"),
        ("import ctypes; K = ctypes.CFUNCTYPE(ctypes.c_double)(float)", "value = pre[0] * K()", "K, a CFunctionType"),
        ("import numba; K = numba.cfunc('f8(f8)')(abs)", "value = K(pre[0])", "K, a CFunc"),
        ("import numba; K = numba.vectorize(lambda x: x)", "value = K(pre[0])", "K, a DUFunc"),
        ("K = (x for x in ())", "value = pre[0] * K", "K, a generator"),
        ("K = type('K', (), {'k': 2.0})", "value = pre[0] * K.k", "K, a type"),
        (
            "from numba.experimental import jitclass\n@jitclass\nclass K:\n    k: float\n"
            "    def __init__(self): self.k = 2.0",
            "value = pre[0] * K().k",
            "K, a JitClassType",
        ),
        ("K = np.random.rand", "value = pre[0] * K()", "K, a method"),
        ("@njit\ndef K(x): return x\nK(1.0)", "value = K(pre[0])", "K, which was compiled before"),
        ("@njit(cache=True)\ndef K(x): return x", "value = K(pre[0])", "K, which Numba caches by the file"),
        ("K = []; K.append(K)", "value = pre[0] * K", "nested too deeply"),
        (
            "from numba.extending import type_callable\ndef K(x): ...\n"
            "@type_callable(K)\ndef typed(context):\n    return lambda x: x",
            "value = K(pre[0])",
            "K, whose machine code is emitted by a rule of its own",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_followed_is_named(top: str, value: str, named: str) -> None:
    top = top.replace("(abs)", "(lambda x: x)")
    with pytest.raises(NotFollowed) as refused:
        key(CELL.format(top=top, inside="", more="", value=value, end=""), path=__file__)
    assert named in str(refused.value)


def test_a_helper_that_our_own_kernels_compiled_is_followed_still() -> None:
    """As it was when its kernel was compiled; rebound since, what it has compiled is of another value."""
    module = module_of(CELL.format(top="K = 2.0\n@njit\ndef act(x): return x * K",
                                   inside="", more="", value="value = act(pre[0])", end=""))  # fmt: skip
    module.act(np.ones(1))  # the reference calls it so, before or after
    before = key_of(module.pair)
    module.act(1.0)
    assert key_of(module.pair) == before
    module.K = 3.0
    with pytest.raises(NotFollowed, match="act, which was compiled before"):
        key_of(module.pair)


def test_a_file_named_like_one_of_python_s_is_not_taken_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = []
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    for number in (2, 3):
        (tmp_path / "sndhdr.py").write_text(f"from numba import njit\n@njit\ndef act(x): return x * {number}")
        monkeypatch.delitem(sys.modules, "sndhdr", raising=False)
        keys.append(
            key(CELL.format(top="import sndhdr", inside="", more="", value="value = sndhdr.act(pre[0])", end=""))
        )
    monkeypatch.delitem(sys.modules, "sndhdr")
    assert keys[0] != keys[1]


PRINTED = """
import json, sys
from pathlib import Path
sys.path.insert(0, {folder!r})
from test_kernel_fingerprint import *
made = [PanelLayout(cell, np.dtype("float32")) for cell in registry().cells.values()]
keys = [cache.digest(name, cell.dtype, "()", *cell.made_of(name)) for cell in made for name in ("forward", "backward")]
print(json.dumps(keys + [key(text_of(case, False)) for case in USED]))
"""


def test_every_process_finds_the_same_keys() -> None:
    """Whatever the order of its sets, its addresses and its number of threads."""
    found = []
    for seed, threads in (("1", "1"), ("2", "2")):
        env = os.environ | {"PYTHONHASHSEED": seed, "NUMBA_NUM_THREADS": threads}
        command = [sys.executable, "-c", PRINTED.format(folder=str(Path(__file__).parent))]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=True)
        found.append(json.loads(done.stdout))
    assert found[0] == found[1]
    assert len({*found[0]}) > 2 * len(registry().cells)


@pytest.mark.parametrize(("name", "value"), [("OPT", 1), ("BOUNDSCHECK", 1), ("CPU_NAME", "generic"), ("NEW", "x")])
def test_every_setting_of_numba_is_in_the_key(name: str, value: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """By variable, by file or in the program: what is in force counts. One that a later Numba adds too."""
    before = cache.digest("adam", np.dtype("float32"), "()")
    monkeypatch.setattr(numba.config, name, value, raising=False)
    assert cache.digest("adam", np.dtype("float32"), "()") != before


@pytest.mark.parametrize("name", ["NUMBA_NUM_THREADS", "NUMBA_DEFAULT_NUM_THREADS", "THREADING_LAYER", "CACHE_DIR"])
def test_what_changes_no_machine_code_is_not(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = cache.digest("adam", np.dtype("float32"), "()")
    monkeypatch.setattr(numba.config, name, "7")
    assert cache.digest("adam", np.dtype("float32"), "()") == before


def test_a_kernel_that_cannot_be_followed_is_compiled_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RNNBENCH_CACHE_DIR", str(tmp_path / "kernels"))
    text = CELL.format(top="K = (x for x in ())", inside="", more="", value="value = pre[0] * K", end="")
    layout = PanelLayout(cell_of(module_of(text).pair), np.dtype("float32"))
    layout.__dict__["stages"] = ()
    lost = len(LOG.lost)
    with pytest.warns(RuntimeWarning, match="kernels of own are not cached: its pair uses K, a generator"):
        compile_kernel("forward", numba.njit(lambda x: None), numba.void(numba.int64), layout.dtype, layout)
    assert len(LOG.lost) == lost + 1
    assert not (tmp_path / "kernels").exists()
