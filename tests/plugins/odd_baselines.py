"""A plugin for the tests of baselines in comparisons: a good one, and one for each way to be bad."""

import os
import time
from dataclasses import dataclass

import numpy as np

from rnnbench import Baseline, hookimpl


@dataclass(frozen=True)
class Answer:
    give: object
    parameters: int = 1

    def predict(self, split):
        return self.give(split)


def zeros(split):
    return np.zeros((split.count, 1))


def raises(split):
    raise ValueError("no\nanswer")


def ends(split):
    os._exit(7)


def hangs(split):
    time.sleep(600)


ODD = {
    "process": lambda split: np.full((split.count, 1), float(os.getpid())),
    "peeps": lambda split: split.target,
    "zeros": zeros,
    "raises": raises,
    "ends": ends,
    "hangs": hangs,
    "narrow": lambda split: np.zeros(split.count),
    "nan": lambda split: np.full((split.count, 1), np.nan),
    "vast": lambda split: np.full((split.count, 1), 1e60),
    "unsuited": zeros,
}


@hookimpl
def rnnbench_baselines():
    return [
        Baseline(
            id=name,
            title=name,
            source="made up",
            unsuitable=lambda problem, name=name: "it does not like it" if name == "unsuited" else None,
            fit=lambda problem, give=give: Answer(give),
            blind=name == "zeros",
        )
        for name, give in ODD.items()
    ]
