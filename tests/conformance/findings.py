"""Defects and oddities of the real layers: a reproduction of at most ten lines for each, and what makes it one.

Measured, not asserted: a release that mends one makes `make conformance` say so.
"""

import contextlib
import io
import re
from typing import NamedTuple


class Finding(NamedTuple):
    """`code` prints; `holds` says of the numbers printed whether the finding stands."""

    framework: str
    title: str
    code: str
    holds: object


def _numbers(text):
    return [float(word) for word in re.findall(r"-?(?:nan|inf|\d+\.?\d*(?:e[+-]?\d+)?)", text)]


FINDINGS = (
    Finding("torch", "A constant channel does not normalise to zero", """\
import torch
x = torch.full((16, 1, 16), 1e7)
print(torch.nn.BatchNorm1d(1)(x).abs().max().item())
""", lambda n: n[0] > 1),
    Finding("torch", "The running variance of a long channel far from zero is wrong", """\
import numpy as np, torch
x = np.random.default_rng(0).normal(1e6, 1, (4096, 1)).astype(np.float32)
bn = torch.nn.BatchNorm1d(1, momentum=1.0)
y = bn(torch.from_numpy(x))
print(f"{bn.running_var[0]:.6g} where {x.astype(np.float64).var(ddof=1):.6g} is true")
""", lambda n: n[0] > 10 * n[1]),
    Finding("mindspore", "The running variance of a long channel far from zero is wrong", """\
import mindspore as ms, numpy as np
x = np.random.default_rng(0).normal(1e6, 1, (4096, 1)).astype(np.float32)
net = ms.nn.BatchNorm1d(1, momentum=0.0).set_train()
y = net(ms.Tensor(x)).asnumpy()
print(f"{net.moving_variance.asnumpy()[0]:.6g} where {x.astype(np.float64).var(ddof=1):.6g} is true")
""", lambda n: n[0] > 10 * n[1]),
    Finding("mindspore", "One value per channel makes the running variance NaN, silently", """\
import mindspore as ms, numpy as np
net = ms.nn.BatchNorm1d(1).set_train()
net(ms.Tensor(np.ones((1, 1), np.float32)))
print(net.moving_variance.asnumpy()[0])
""", lambda n: n[0] != n[0]),
    Finding("mindspore", "After an empty batch two identical layers disagree", """\
import mindspore as ms, numpy as np
empty, full = ms.Tensor(np.zeros((0, 3)), ms.float32), ms.Tensor(np.full((2, 3), 70, np.float32))
def moved(*earlier):
    for x in earlier:
        ms.nn.BatchNorm1d(3).set_train()(x).asnumpy()
    net = ms.nn.BatchNorm1d(3).set_train()
    net(empty).asnumpy()
    return net.moving_mean.asnumpy()
print(moved(), moved(full))
""", lambda n: n[:3] != n[3:]),
    Finding("mindspore", "A float16 layer loses its update", """\
import mindspore as ms, numpy as np
net = ms.nn.BatchNorm1d(1, dtype=ms.float16).set_train()
net(ms.Tensor(np.array([[1], [3]], np.float16)))
print(net.moving_mean.asnumpy()[0])
""", lambda n: n[0] == 0),
    Finding("torch", "A refused batch counts", """\
import torch
bn = torch.nn.BatchNorm1d(1)
try:
    bn(torch.ones(1, 1))
except ValueError:
    print(bn.num_batches_tracked.item())
""", lambda n: n[0] == 1),
    Finding("torch", "A float16 layer keeps 1/sqrt(W) in float16", """\
import torch
bn = torch.nn.BatchNorm1d(1, eps=1e-12, dtype=torch.float16)
print(bn(torch.zeros(2, 1, dtype=torch.float16)).tolist())
""", lambda n: n[0] != n[0]),
    Finding("torch", "A layer without arrays takes any number of channels", """\
import torch
bn = torch.nn.BatchNorm1d(1, affine=False, track_running_stats=False)
print(tuple(bn(torch.rand(4, 7)).shape))
""", lambda n: n == [4, 7]),
)


def printed(finding):
    """What a reproduction prints."""
    assert finding.code.count("\n") <= 10, finding.title
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        exec(finding.code, {"__name__": "reproduction"})  # our own lines, from above
    return text.getvalue().strip()


def stands(finding, text):
    """Whether what was printed still is the finding."""
    return finding.holds(_numbers(text))
