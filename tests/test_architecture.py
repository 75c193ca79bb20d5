"""The arrows between the packages, and the rules that keep a cell, a hook and an import light."""

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from graphlib import TopologicalSorter
from importlib import import_module
from pathlib import Path

import pytest

import rnnbench

ROOT = Path(rnnbench.__file__).parent

# Imports point from a later line to an earlier one, never back and never sideways. What runs lazily counts too;
# what only a type checker reads does not.
LAYERS = (
    ("errors", "hookspecs", "clock", "units", "atomic", "restoring"),
    ("cells", "records"),
    ("model",),
    ("training",),
    ("tables",),
    ("tasks", "kernels"),
    ("baselines", "weights"),
    ("backends",),
    ("offers",),
    ("registry", "training_loop"),
    ("loading",),
    ("machine",),
    ("workers",),
    ("verify",),
    ("comparison",),
    ("report", "testing", "scaffold"),
    ("roofline",),
    ("tracking",),
    ("forecasting",),
    ("api",),
    ("aa_noise",),
    ("cli",),
    ("__main__",),
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
# A model looks its cell up by name when it is made: the one arrow back, taken at run time through the registry.
BACKWARD = {("model", "registry")}
# What measuring may know of backends: the contract, what all share, and the oracle.
MEASURING = {"workers", "machine", "verify", "comparison", "roofline"}
CONTRACT = {
    "rnnbench.backends",
    "rnnbench.backends.base",
    "rnnbench.backends.inputs",
    "rnnbench.backends.numpy_reference",
}
LONGEST_FUNCTION = 60  # lines
FACADE = "rnnbench.api: compare"  # every option of the command line, with what it means
PICKLING = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
CELL_FILES = [path for path in (ROOT / "cells").glob("*.py") if path.stem not in ("__init__", "spec", "maths")]


@dataclass(frozen=True)
class Module:
    """A source file: its dotted name, its package right under rnnbench, and its syntax tree."""

    name: str
    package: str
    tree: ast.Module

    @classmethod
    def of(cls, path: Path) -> "Module":
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        return cls(".".join(parts), parts[1] if len(parts) > 1 else "", ast.parse(path.read_text(encoding="utf-8")))

    def running(self) -> Iterator[ast.AST]:
        """Every node but those under `if TYPE_CHECKING`."""
        waiting: list[ast.AST] = [self.tree]
        while waiting:
            node = waiting.pop()
            yield node
            typing_only = isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
            waiting.extend(node.orelse if typing_only else ast.iter_child_nodes(node))

    def imports(self, typing_too: bool = False) -> Iterator[str]:
        """Dotted names of the modules imported, and of what is taken from rnnbench's own packages."""
        for node in ast.walk(self.tree) if typing_too else self.running():
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{self.name} imports relatively: absolute imports only"
                if top(node.module) != "rnnbench":
                    yield node.module
                else:  # a public name counts as its home
                    homes = rnnbench._HOME_OF if node.module == "rnnbench" else {}
                    yield from (f"{homes.get(alias.name, node.module)}.{alias.name}" for alias in node.names)

    def calls(self) -> Iterator[ast.Call]:
        yield from (node for node in self.running() if isinstance(node, ast.Call))


MODULES = [Module.of(path) for path in sorted(ROOT.rglob("*.py"))]


def violations(offences: Callable[[Module], Iterator[str]]) -> list[str]:
    return [f"{module.name}: {offence}" for module in MODULES for offence in offences(module)]


def top(name: str) -> str:
    return name.partition(".")[0]


def target(name: str) -> str:
    """The package right under rnnbench that an import reaches."""
    return name.split(".")[1] if name.count(".") else ""


# ---- arrows ----------------------------------------------------------------------------------------------------------


def test_there_is_something_to_check():
    assert {module.package for module in MODULES} >= {"cells", "tasks", "backends", "comparison", "records", "model"}
    assert len(CELL_FILES) >= 7


def test_every_package_has_a_place_in_the_order():
    assert {module.package for module in MODULES} - {""} <= RANK.keys()


def test_imports_point_one_way():
    def offences(module: Module) -> Iterator[str]:
        for name in module.imports():
            package = target(name)
            if top(name) != "rnnbench" or package not in RANK or module.package not in RANK:
                continue
            allowed = package == module.package or RANK[package] < RANK[module.package]
            if not allowed and (module.package, package) not in BACKWARD:
                yield f"imports {name}"

    assert violations(offences) == []


def test_no_modules_import_each_other_in_a_circle():
    """What runs lazily counts, and what only a type checker reads; the package's face, which is all names, does not."""
    names = {module.name for module in MODULES}
    arrows = {}
    for module in MODULES:
        found = set(module.imports(typing_too=True))
        homes = {name if name in names else name.rpartition(".")[0] for name in found}
        lookups = {f"rnnbench.{home}" for start, home in BACKWARD if start == module.package}
        arrows[module.name] = (homes & names) - {"rnnbench", module.name} - lookups
    del arrows["rnnbench"]
    TopologicalSorter(arrows).prepare()  # raises CycleError, which shows the circle


def test_only_kernels_import_numba():
    def offences(module: Module) -> Iterator[str]:
        if module.package != "kernels":
            yield from (f"imports {name}" for name in module.imports() if top(name) in ("numba", "llvmlite"))

    assert violations(offences) == []


def test_measuring_knows_backends_through_the_contract():
    def offences(module: Module) -> Iterator[str]:
        if module.package in MEASURING:
            for name in module.imports():
                if (
                    target(name) == "backends"
                    and name not in CONTRACT
                    and name.rpartition(".")[0] not in CONTRACT - {"rnnbench.backends"}
                ):
                    yield f"imports {name}"

    assert violations(offences) == []


def test_records_know_nothing_but_errors_and_files():
    def offences(module: Module) -> Iterator[str]:
        if module.package == "records":
            for name in module.imports():
                if top(name) == "rnnbench" and target(name) not in ("records", "errors", "units", "atomic"):
                    yield f"imports {name}"

    assert violations(offences) == []


# ---- a cell is data and a pure pair ----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", CELL_FILES, ids=lambda path: path.stem)
def test_a_cell_file_holds_no_number_and_no_array_library(path):
    module = Module.of(path)
    allowed = {"rnnbench.cells", "rnnbench.hookspecs"}
    foreign = [name for name in module.imports() if not any(name.startswith(prefix) for prefix in allowed)]
    assert foreign == []
    constants = [node.value for node in ast.walk(module.tree) if isinstance(node, ast.Constant)]
    assert [value for value in constants if type(value) in (int, float, complex)] == []
    inside = [
        node for node in ast.walk(module.tree) if isinstance(node, ast.FunctionDef) and node.name.endswith("pair")
    ]
    branches = [node for function in inside for node in ast.walk(function) if isinstance(node, ast.If | ast.IfExp)]
    assert branches == []


@pytest.mark.parametrize("path", CELL_FILES, ids=lambda path: path.stem)
def test_backward_stands_right_under_forward(path):
    pairs = [
        node for node in Module.of(path).tree.body if isinstance(node, ast.FunctionDef) and node.name.endswith("pair")
    ]
    for pair in pairs:
        assert [node.name for node in pair.body if isinstance(node, ast.FunctionDef)] == ["forward", "backward"]


# ---- the rules of the house ------------------------------------------------------------------------------------------


def test_print_is_for_the_cli():
    def offences(module: Module) -> Iterator[str]:
        if module.package != "cli":
            for call in module.calls():
                if isinstance(call.func, ast.Name) and call.func.id == "print":
                    yield f"line {call.lineno} prints"

    assert violations(offences) == []


def test_no_pickle_is_read():
    def offences(module: Module) -> Iterator[str]:
        if module.name != "rnnbench.kernels.cache":
            yield from (f"imports {name}" for name in module.imports() if top(name) in PICKLING)
        for call in module.calls():
            function = ast.unparse(call.func)
            if function in ("np.load", "numpy.load"):
                refuses = any(k.arg == "allow_pickle" and ast.unparse(k.value) == "False" for k in call.keywords)
                if not refuses:
                    yield f"line {call.lineno}: np.load without allow_pickle=False"
            elif function.endswith(".read_pickle"):
                yield f"line {call.lineno} reads a pickle"

    assert violations(offences) == []


def test_every_module_says_what_it_is():
    assert [module.name for module in MODULES if not ast.get_docstring(module.tree)] == []


def test_no_class_name_means_two_things():
    named = Counter(node.name for m in MODULES for node in ast.walk(m.tree) if isinstance(node, ast.ClassDef))
    assert [name for name, count in named.items() if count > 1] == []


def test_docstrings_of_functions_begin_with_a_verb():
    """In the imperative, and so neither with an article, a question word or a preposition, nor in the third person."""
    others = {"a", "an", "the", "what", "how", "who", "whose", "which", "where", "why", "when", "whether", "this", "it"}
    others |= {"one", "none", "every", "all", "each", "some", "of", "for", "as", "in", "on", "by", "with", "from", "to"}
    third_person = re.compile(r"[A-Z][a-z]*[a-rt-z]s")  # but Pass, Express, Discuss

    def offences(module: Module) -> Iterator[str]:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.FunctionDef) and (words := ast.get_docstring(node)):
                first = words.split()[0].rstrip(",.:;")
                if not first.isalpha() or first.lower() in others or third_person.fullmatch(first):
                    yield f"{node.name} begins with {first!r}"

    group = "rnnbench.cli._group: group begins with 'Which'"  # a help text, the question that the project answers
    assert [found for found in violations(offences) if found != group] == []


def test_any_stays_rare():
    lines = [line for path in ROOT.rglob("*.py") for line in path.read_text(encoding="utf-8").splitlines()]
    assert sum(bool(re.search(r"\bAny\b", line)) for line in lines) < 150


def test_modules_and_functions_stay_small():
    """A place to look again, not a law: whoever needs more says so here, with the reason."""
    long = [path.name for path in ROOT.rglob("*.py") if len(path.read_text(encoding="utf-8").splitlines()) > 400]
    assert long == []

    def offences(module: Module) -> Iterator[str]:
        if module.package == "kernels":  # a kernel is made inside one function, of closures that are compiled together
            return
        for node in ast.walk(module.tree):
            if isinstance(node, ast.FunctionDef) and node.end_lineno - node.lineno >= LONGEST_FUNCTION:
                yield f"{node.name} has {node.end_lineno - node.lineno + 1} lines"

    assert [found for found in violations(offences) if not found.startswith(FACADE)] == []


def test_every_package_says_in_which_order_to_read_it():
    indices = [Module.of(path) for path in sorted(ROOT.glob("*/__init__.py")) if path.parent.name != "scaffold"]
    assert [
        m.name for m in indices if not re.search(r"\bRead `|one file per command", ast.get_docstring(m.tree) or "")
    ] == []


def test_an_index_names_files_that_are_there():
    """Those from "Read" on: what stands before is in other words."""
    for path in sorted(ROOT.rglob("__init__.py")):
        _, _, order = (ast.get_docstring(Module.of(path).tree) or "").partition("Read `")
        for name in re.findall(r"`([a-z_]+)(?:\.py|/)?`", f"`{order}"):
            assert (path.parent / f"{name}.py").is_file() or (path.parent / name).is_dir(), (
                f"{path.parent.name}: {name}"
            )


def test_there_is_no_drawer_for_odds_and_ends():
    drawers = {"utils", "util", "helpers", "misc", "common"}
    assert [module.name for module in MODULES if module.name.rpartition(".")[2] in drawers] == []


def test_the_plugin_contract_fits_on_a_page():
    assert len((ROOT / "hookspecs.py").read_text(encoding="utf-8").splitlines()) <= 40


def test_importing_rnnbench_is_light():
    heavy = ["numpy", "numba", "pandas", "scipy", "torch"]
    code = f"import sys, rnnbench; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_resolves():
    assert sorted(rnnbench.__all__) == sorted(rnnbench._HOME_OF)
    for name in rnnbench.__all__:
        assert getattr(rnnbench, name) is getattr(import_module(rnnbench._HOME_OF[name]), name)
        assert name in dir(rnnbench)
    with pytest.raises(AttributeError, match="module 'rnnbench' has no attribute 'modle'"):
        _ = rnnbench.modle
