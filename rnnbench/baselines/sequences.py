"""Sequences as rows of numbers, and answers as they are asked for: what the methods that look at windows share."""

import numpy as np

from rnnbench.baselines.spec import Problem
from rnnbench.model import Array
from rnnbench.tasks.spec import Split


def needs_one_answer(problem: Problem) -> str | None:
    """Return why a method that answers once a sequence is unsuitable, or None."""
    return "it gives one answer a sequence, and one at each step is asked for" if problem.train.every_step else None


def needs_classes(problem: Problem) -> str | None:
    """Return why a method that gives one class a sequence is unsuitable, or None."""
    return needs_one_answer(problem) if problem.loss == "cross-entropy" else "it tells classes apart"


def valid(split: Split) -> Array:
    """Tell which steps are within their sequence's length, bool [T, N]."""
    steps = np.arange(len(split.x))[:, None]
    return steps < (np.full(split.count, len(split.x)) if split.lengths is None else split.lengths)


def cleared(split: Split) -> Array:
    """Return x float64 [T, N, I] with zeros past the lengths, whatever lay there."""
    if split.lengths is None:
        return split.x.astype(np.float64, copy=False)
    return np.where(valid(split)[:, :, None], split.x, 0.0)


def flat(split: Split, steps: int) -> Array:
    """Return every number of each sequence in a row, [N, steps I]: later steps cut off, missing ones zero."""
    x = cleared(split)[:steps]
    filled = np.zeros((split.count, steps, x.shape[2]))
    filled[:, : len(x)] = x.transpose(1, 0, 2)
    return filled.reshape(split.count, -1)


def wanted(problem: Problem) -> Array:
    """Return the training targets as numbers, float64 [..., O]: of classes, 1 for the right one, else 0."""
    target = problem.train.target
    if problem.loss == "mse":
        return target.astype(np.float64, copy=False)
    if problem.train.every_step and problem.train.lengths is not None:
        target = np.where(valid(problem.train), target, 0)
    return np.eye(problem.output_size)[target]


def as_asked(problem: Problem, answer: Array) -> Array:
    """Return answers [..., O] as a model gives them: of classes, whose shares were estimated, logarithms of these.

    No share is taken for less than that of a class seen once beside the training sequences.
    """
    if problem.loss == "mse":
        return answer
    least = 1 / (problem.train.count + problem.output_size)
    shares = np.maximum(answer, least)
    return np.asarray(np.log(shares / shares.sum(axis=-1, keepdims=True)))


def ordered(problem: Problem) -> Array:
    """Return an order of the training sequences in which some may be left out at the end, int64 [N]: that of time.

    Those of no series are mixed, as the seed decides: a file may hold one class after the other.
    """
    if problem.train.windows is None:
        return np.random.default_rng([problem.seed, 3]).permutation(problem.train.count)
    return np.argsort(problem.train.windows.origin, kind="stable")
