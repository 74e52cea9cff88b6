"""bnref as a strict type checker sees it: every result has a type, and a wrong call is refused.

Read by mypy, never run.  `assert_type` holds what a call gives; a line that must be refused says with which of mypy's codes
and why, and mypy complains of one that it does not refuse.
"""

from collections import OrderedDict
from fractions import Fraction
from typing import Any, assert_type

import numpy as np
from numpy.typing import NDArray

import bnref

Array = NDArray[Any]
x = np.ones((4, 3), np.float32)
channel = np.ones(3)

# The functional form.
r = bnref.batch_norm(x, training=True, momentum=Fraction(1, 10), eps=np.float32(1e-5))
assert_type(r, bnref.functional.BatchNormResult)
assert_type(r.output, Array)
assert_type(r.mean, Array | None)
assert_type(bnref.batch_norm([[1.0], [2.0]], [0.0], [1.0]).output, Array)
g = bnref.batch_norm_backward(x, x, training=True)
assert_type(g.weight, Array | None)
assert_type(bnref.batch_norm_double_backward(None, None, None, x, x, training=True).weight, Array)

bnref.batch_norm(x, training="yes")  # type: ignore[arg-type]  # a word is no bool
bnref.batch_norm(x, momentum=None)  # type: ignore[arg-type]  # only a layer of PyTorch averages
bnref.batch_norm(x, eps=channel)  # type: ignore[arg-type]  # one eps for all channels
bnref.batch_norm(x, epsilon=1e-5)  # type: ignore[call-arg]  # its name is eps
bnref.batch_norm_backward(x)  # type: ignore[call-arg]  # the gradient of what?
r.mean.sum()  # type: ignore[union-attr]  # None in inference
r.variance  # type: ignore[attr-defined]  # its name is var

# The layers.
bn = bnref.torch.BatchNorm1d(3, momentum=None, dtype="float64")
assert_type(bn(x), Array)
assert_type(bn.train().eval(), bnref.torch.BatchNorm1d)
assert_type(bn.running_mean, Array | None)
assert_type(bn.state_dict(), OrderedDict[str, Array])
assert_type(bn.load_state_dict(bn.state_dict()).missing_keys, list[str])
assert_type(bn.backward(x), bnref.functional.BatchNormGradients)
net = bnref.mindspore.BatchNorm3d(3, gamma_init="zeros", beta_init=channel)
assert_type(net.set_train().gamma, Array)
assert_type(net.backward(x).gamma, Array | None)
assert_type([parameter.array for parameter in net.trainable_params()], list[Array])

bnref.torch.BatchNorm1d("3")  # type: ignore[arg-type]  # a count is an int
bnref.torch.BatchNorm1d(3, device="cuda")  # type: ignore[arg-type]  # there is only the CPU
bnref.mindspore.BatchNorm1d(3, momentum=None)  # type: ignore[arg-type]  # MindSpore never averages
bn([[1.0, 2.0, 3.0]])  # type: ignore[arg-type]  # a framework takes its own tensors only
net.eps = 1e-3  # type: ignore[misc]  # MindSpore ignores such a change
bn.gamma  # type: ignore[attr-defined]  # MindSpore's name

# Porting, and the states.
assert_type(bnref.port.to_mindspore(bn), bnref.mindspore.BatchNorm1d)
assert_type(bnref.port.to_torch(net), bnref.torch.BatchNorm3d)
assert_type(bnref.port.checkpoint_to_torch({"bn.gamma": channel}).renamed, dict[str, str])
assert_type(bnref.states.enumerate_states("torch")[0].behaviour.normalises_by, str | None)

bnref.port.to_mindspore(net)  # type: ignore[call-overload]  # it is one already
bnref.states.enumerate_states("jax")  # type: ignore[arg-type]  # of two frameworks only

# Judging others.
found = bnref.testing.compare({"output": x}, x, training=True, precision="float32", accumulate="pairwise")
assert_type(found["output"].index, tuple[int, ...])
assert_type(found.cause, tuple[str, ...])
assert_type(bnref.testing.explain({"output": x}, x, training=True), tuple[str, ...])
bnref.testing.assert_batch_norm({"output": x}, **bnref.testing.witness())

bnref.testing.compare({"output": x}, x, accumulate="backwards")  # type: ignore[arg-type]  # no way to sum
bnref.testing.compare(x, x)  # type: ignore[arg-type]  # results have names
found.bound  # type: ignore[attr-defined]  # each result has its own

# The generated formulas: a number system says what its numbers are.
Floats = NDArray[np.float64]
arrays = bnref.arithmetic.arrays
batch: Floats = np.ones((4, 3))
mean, var = bnref.equations.batch_statistics(batch, xp=arrays)
assert_type(mean, Floats)
assert_type(bnref.equations.normalize(batch, mean, var, 1, 0, 1e-5, xp=arrays), Floats)
assert_type(bnref.equations.complement(Fraction(9, 10), xp=None), Fraction)
assert_type(bnref.equations.cumulative_momentum(3, xp=None), float)

bnref.equations.batch_statistics(batch, xp=None)  # type: ignore[arg-type]  # it sums
bnref.equations.batch_statistics(batch)  # type: ignore[call-arg]  # over what numbers?
bnref.equations.mean_bound(batch, mean, 0.0, 0.0, 3, 0.0, xp=arrays)  # type: ignore[arg-type]  # it has no maximum
bnref.mistakes.update_biased(mean, var, mean, var)  # type: ignore[call-arg]  # by which momentum?
