"""`rnnbench doctor`: each topic's warning on made-up facts, and what holds of any machine's own."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from small_runs import FAULTY, NO_NUMBA, STAND_IN, Quiet, load

from rnnbench import aa_noise
from rnnbench import registry as plugins
from rnnbench.cli import main
from rnnbench.errors import UsageError
from rnnbench.machine.doctor import GIB, Facts, gather, judge
from rnnbench.machine.environment import core_count, cpu_model, machine_id
from rnnbench.records.noise import KnownNoise
from rnnbench.records.statistics import Interval
from rnnbench.records.store import Store

KNOWN = KnownNoise(Interval(1.004, 0.97, 1.01, 10), "2026-11-23")
WELL = Facts(
    cpu="Testor 9000",
    cores=4,
    logical=4,
    usable=4,
    siblings=False,
    governor="performance",
    boost=False,
    busy=0.01,
    stolen=0.0,
    clock="tsc",
    memory_bytes=8 * GIB,
    memory_free_bytes=6 * GIB,
    versions={"python": "3.11.9", "numba": None},
    blas=("openblas 0.3.30",),
    cache="/home/me/.cache/rnnbench/kernels",
    noise=KNOWN,
)


def warnings(facts):
    return {finding.topic: f"{finding.warning}; {finding.action}" for finding in judge(facts) if finding.warning}


def test_a_quiet_machine_has_no_warning():
    assert warnings(WELL) == {}
    values = {finding.topic: finding.value for finding in judge(WELL)}
    assert values["versions"] == "python 3.11.9, numba not installed"
    assert values["A/A noise"] == (
        "+0.4% [-3.0%, +1.0%], 10 pairs of processes, 2026-11-23; speeds closer than 3.1% are not told apart"
    )


@pytest.mark.parametrize(
    ("topic", "changes", "action"),
    [
        ("cores", {"usable": 1}, "allow a second core"),
        ("cores", {"quota": 1.5}, "lift it"),
        ("siblings", {"siblings": True}, "echo off"),
        ("frequency", {"governor": "powersave"}, "cpupower frequency-set -g performance"),
        ("other programs", {"busy": 0.5}, "end them, or wait"),
        ("other guests", {"stolen": 0.05}, "a machine of your own"),
        ("clock", {"clock": "hpet"}, "echo tsc"),
        ("memory", {"memory_free_bytes": GIB // 2}, "end what holds it"),
        ("plugin", {"broken": {"rnnbench_x": "ImportError: no y"}}, "-p no:rnnbench_x"),
        ("BLAS", {"blas": ()}, "install NumPy from"),
        (
            "kernel cache",
            {"cache": None, "cache_notice": "kernels are not cached: others may write to /c; run: chmod 700 /c"},
            "every process compiles anew; run: chmod 700 /c",
        ),
        ("A/A noise", {"noise": None}, "rnnbench doctor --noise"),
    ],
)
def test_each_warning_ends_in_what_to_do(topic, changes, action):
    found = warnings(replace(WELL, **changes))
    assert found.keys() == {topic}
    assert action in found[topic]


def test_what_the_system_does_not_tell_is_no_warning():
    silent = replace(WELL, siblings=None, governor=None, boost=None, busy=None, stolen=None, clock=None)
    assert warnings(silent) == {}


def test_the_facts_of_this_machine():
    facts = gather(plugins.registry(), None)
    assert facts.cores >= 1
    assert facts.usable <= facts.logical
    assert 0 <= (facts.busy or 0) <= 1
    assert 0 < facts.memory_free_bytes <= facts.memory_bytes
    assert facts.versions["numpy"]
    assert facts.cache or facts.cache_notice


def test_the_command_prints_every_topic_and_keeps_the_noise(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(aa_noise, "measure_noise", lambda listener: KNOWN)
    assert main(["doctor", "--results", str(tmp_path), "--json"]) == 0
    before = {row["topic"]: row for row in json.loads(capsys.readouterr().out)["rows"]}
    assert before["A/A noise"]["action"] == "rnnbench doctor --noise"
    assert main(["doctor", "--results", str(tmp_path), "--noise"]) == 0
    shown = capsys.readouterr().out
    assert {topic for topic in before if topic not in shown} == set()
    assert "10 pairs of processes" in shown
    assert Store(Path(tmp_path)).known_noise(machine_id(cpu_model(), core_count())) == KNOWN


@pytest.mark.slow
def test_noise_is_measured_between_numba_and_its_control(monkeypatch):
    """Whatever the machine's noise is meanwhile."""
    load(monkeypatch, FAULTY, STAND_IN, NO_NUMBA)
    found = aa_noise.measure_noise(Quiet(), pairs=2)
    assert found.ratio.count == 2
    assert 0 < found.ratio.low <= found.ratio.value <= found.ratio.high


def test_noise_that_cannot_be_measured_is_one_line(monkeypatch):
    registry = load(monkeypatch, FAULTY, NO_NUMBA)
    registry.backends["numba"] = replace(registry.backend("no-factory"), id="numba")
    with pytest.raises(UsageError, match=r"numba could be timed against itself in 0 of 1 pairs .*libcheese"):
        aa_noise.measure_noise(Quiet(), pairs=1)


@pytest.mark.slow
def test_noise_of_fewer_pairs_than_were_asked_for_is_refused(monkeypatch):
    """The second pair's rounds are gone: one pair is no noise of two."""
    load(monkeypatch, FAULTY, STAND_IN, NO_NUMBA)
    honest = aa_noise.noise
    monkeypatch.setattr(aa_noise, "noise", lambda groups: honest(groups[:1]))
    with pytest.raises(UsageError, match="in 1 of 2 pairs of processes"):
        aa_noise.measure_noise(Quiet(), pairs=2)
