"""The conformance suite against backends that break one promise each: it must find that one, and no other."""

from pathlib import Path

import pytest
from marks import children
from threadpoolctl import threadpool_limits

from rnnbench import BackendInfo, Requirement, UsageError
from rnnbench import registry as plugins
from rnnbench.backends.base import load_factory
from rnnbench.testing import PropertyResult, check_backend, conformance_tests
from rnnbench.testing.demand import cores_wanted
from rnnbench.testing.properties import PROPERTIES, Subject
from rnnbench.testing.suite import LOADS, NAMES, in_order
from rnnbench.testing.work import judge
from rnnbench.workers.worker import WorkerLimits

DEFECTIVE = str(Path(__file__).parent / "plugins" / "defective.py")

# Which property a defect breaks, and words of the reason it gives.
DEFECTS = {
    "gate-order": ("outputs", "the gates i f g o were taken for f i g o"),
    "writes-to-input": ("inputs kept", "forward changed its input x"),
    "writes-to-weights": ("inputs kept", "train_step changed its input"),
    "caches": ("no caching", "new numbers in the same array"),
    "ignores-lengths": ("lengths", "y past a row's length is not 0"),
    "leaves-padding": ("lengths", "y past a row's length is not 0"),
    "poisoned-gradients": ("ragged gradients", "holds NaN or infinity"),
    "ignores-state": ("states", "y from an initial state"),
    "state-order": ("states", "final "),
    "noisy": ("determinism", "y of the same call again"),
    "half-gradients": ("gradients", "the gradient of head.b"),
    "never-learns": ("training", "the loss of 20 steps"),
    "other-adam": ("training", "the loss of 20 steps"),
    "stale-parameters": ("training", "from what parameters() tells"),
    "shares-parameters": ("weights", "is written to"),
    "step-off": ("streaming", "single steps"),
    "muddles-callers": ("callers", "y of a thread among others"),
    "takes-anything": ("misuse", "an x of complex numbers is taken"),
    "counts-refused-steps": ("misuse", "the losses after refused steps"),
    "greedy": ("threads", "cores wanted at a time"),
    "wide-result": ("form", "gave y as float64"),
    "steps-anyway": ("refusals", "step of a bidirectional model gave a result"),
    "speechless": ("refusals", "a reason in one line"),
}


@pytest.fixture
def defective(default_registry: None) -> plugins.Registry:
    return plugins.configure([DEFECTIVE])


def inspected(registry: plugins.Registry, name: str) -> dict[str, PropertyResult]:
    """Every finding, made in this process."""
    info = registry.backend(name)
    with threadpool_limits(1):
        subject = Subject(load_factory(info.factory)(1), info, 1)
        findings = in_order(lambda: PropertyResult(LOADS, True), lambda each: judge(each, subject))
        return {finding.property: finding for finding in findings}


def failed(findings: dict[str, PropertyResult]) -> list[str]:
    return [name for name, finding in findings.items() if finding.ok is False]


def test_an_honest_backend_keeps_every_promise(defective: plugins.Registry) -> None:
    findings = inspected(defective, "honest")
    assert [str(finding) for finding in findings.values() if finding.ok is not True] == []
    assert tuple(findings) == NAMES


@pytest.mark.slow
@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_breaks_exactly_its_property(defective: plugins.Registry, defect: str) -> None:
    findings = inspected(defective, defect)
    broken, words = DEFECTS[defect]
    assert failed(findings) == [broken]
    assert words in findings[broken].reason
    needs = {each.name: each.needs for each in PROPERTIES}
    for name, finding in findings.items():
        if finding.ok is None:
            assert any(findings[need].ok is not True for need in needs[name])


def test_every_property_has_a_defect_that_breaks_it() -> None:
    assert {broken for broken, _ in DEFECTS.values()} == {each.name for each in PROPERTIES}


def test_what_leans_on_a_broken_property_is_not_judged(defective: plugins.Registry) -> None:
    findings = inspected(defective, "gate-order")
    assert findings["gradients"] == PropertyResult("gradients", None, reason="'outputs' comes first")
    assert findings["training"].reason == "'outputs' comes first"


def test_a_backend_that_refuses_everything_does_not_pass(defective: plugins.Registry) -> None:
    findings = inspected(defective, "unwilling")
    assert findings["outputs"] == PropertyResult("outputs", False, reason="not today")
    assert "refuses the plainest case: not today" in findings["refusals"].reason


def test_a_crash_is_a_finding_and_the_rest_is_judged(defective: plugins.Registry) -> None:
    heard: list[PropertyResult] = []
    findings = check_backend(defective.backend("dies-of-lengths"), on_result=heard.append)
    assert heard == findings
    by_name = {finding.property: finding for finding in findings}
    assert failed(by_name) == ["lengths"]
    assert "exited with code 3" in by_name["lengths"].reason
    assert by_name["streaming"].ok
    assert children() == []


def test_a_backend_that_cannot_be_loaded(defective: plugins.Registry) -> None:
    info = BackendInfo("absent", "Absent", "no_such_module:make")
    findings = check_backend(info, limits=WorkerLimits(load_seconds=60))
    assert failed({finding.property: finding for finding in findings}) == [LOADS]
    assert "no_such_module" in findings[0].reason
    assert {finding.reason for finding in findings[1:]} == {"'loads' comes first"}


def test_a_backend_that_is_not_installed_is_refused() -> None:
    info = BackendInfo("x", "X", "x:make", requires=(Requirement("no_such_module", "pip install no-such"),))
    with pytest.raises(UsageError, match="needs no_such_module, which is not installed; pip install no-such"):
        check_backend(info)


def test_one_thread_wants_one_core() -> None:
    assert cores_wanted(lambda: sum(range(1000))) == pytest.approx(1, abs=0.1)


def test_a_finding_reads_as_a_line() -> None:
    assert str(PropertyResult("outputs", False, 0.5, 1e-5, "y")) == "outputs: FAILED 0.5 (allowed: 1e-05); y"
    assert str(PropertyResult("form", True)) == "form: ok"


test_numpy = conformance_tests("numpy")


@pytest.mark.slow
class TestNumba:
    """Compiles every cell in both dtypes, unless an earlier run has."""

    test_numba = staticmethod(conformance_tests("numba"))
