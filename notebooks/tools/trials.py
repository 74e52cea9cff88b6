"""Put the atlas to the test: make its calls on bnref's layers, and look at what they return."""

from fractions import Fraction
from functools import cache
from typing import NamedTuple

import numpy as np

from .atlas import OUTPUTS, Torch, behaviour, compare, layer, reads

FAR = 1e-3  # more than any rounding of the small numbers below
LARGEST = 5  # no batch below has a mean or an unbiased variance beyond it, nor has what a layer begins with


class Run(NamedTuple):
    """What a sequence of calls left behind."""

    outputs: list     # of the forward passes
    by_batch: list    # which of them were normalised by the batch
    statistics: list  # running mean and variance at the end; as they began where a layer has none
    updates: int


@cache
def play(configuration, calls, training=True, seed=0):
    """Make the calls on bnref's layer.  The n-th forward pass gets the n-th batch of a seed, 5 values in [-2, 2]."""
    built, draws = layer(configuration), np.random.default_rng(seed)
    switch = built.train if isinstance(configuration, Torch) else built.set_train
    switch(training)
    outputs, does = [], []
    for call in calls:
        if call == "forward":
            outputs.append(built(draws.integers(-8, 9, (5, 3)).astype(np.float32) / 4))
            does.append(behaviour(configuration, built.training))
        else:
            switch(call == "train")
    arrays = [np.full(3, start, np.float32) if getattr(built, name) is None else getattr(built, name)
              for name, start in zip(built.names[:2], (0, 1))]
    return Run(outputs, [each.normalises_by == "batch" for each in does], arrays, sum(each.mean is not None for each in does))


def told_apart(one, other, training, calls, seed=0):
    """Does the last call of a sequence, and none before, tell bnref's layers apart?"""
    ours, theirs = (play(each, calls, training, seed) for each in (one, other))
    if compare(one, other).kind == OUTPUTS:
        return _close(ours.outputs, theirs.outputs) and not _close(ours.statistics, theirs.statistics)
    return _close(ours.outputs[:-1], theirs.outputs[:-1]) and not _close(ours.outputs[-1:], theirs.outputs[-1:])


def same_double(one, other):
    """Do the two layers weigh a new observation by the same double, or one that is never looked at?"""
    if not reads(one) and not reads(other):
        return True
    return layer(one).momentum == layer(other).momentum


def same_bits(one, other, training, calls, seed=0):
    """Do bnref's layers give the same outputs and the same statistics, bit for bit?"""
    ours, theirs = (play(each, calls, training, seed) for each in (one, other))
    return _identical(ours.outputs, theirs.outputs) and _identical(ours.statistics, theirs.statistics)


def within_the_bound(one, other, training, calls, seed=0):
    """Do bnref's layers differ by no more than their weights make them (chapter 02)?

    Outputs that are normalised by the batch are the same bits.  The statistics are at most |w - v| / w times the
    largest distance of an observation from them apart, and two half ulps for each step.
    """
    ours, theirs = (play(each, calls, training, seed) for each in (one, other))
    w, v = (Fraction(layer(each).momentum) for each in (one, other))
    bound = float(abs(w - v) / w * 2 * LARGEST) + ours.updates * float(np.spacing(np.float32(LARGEST)))
    batch = [[output for output, by_batch in zip(run.outputs, run.by_batch) if by_batch] for run in (ours, theirs)]
    return (ours.by_batch == theirs.by_batch and _identical(*batch) and _close(ours.outputs, theirs.outputs)
            and all(np.abs(a.astype(float) - b).max() <= bound for a, b in zip(ours.statistics, theirs.statistics)))


def _identical(ours, theirs):
    return all(a.tobytes() == b.tobytes() for a, b in zip(ours, theirs, strict=True))


def _close(ours, theirs):
    return all(np.abs(a - b).max() < FAR for a, b in zip(ours, theirs, strict=True))
