"""The two sides of a comparison behind one interface: the real layers, and bnref's.

A `Subject` says which layer, in words that both sides understand.  A side can `build` it, take a `step` (a call and the
gradients of it), `read` and `write` its arrays, and list its `keys`.  Everything goes in and out as NumPy arrays.
"""

import os
import tempfile
from typing import NamedTuple

import numpy as np

import bnref
import bnref.mindspore
import bnref.torch

ARRAYS = {"torch": ("running_mean", "running_var", "weight", "bias"),
          "mindspore": ("moving_mean", "moving_variance", "gamma", "beta")}
OURS = ("mean", "var", "weight", "bias")  # the same four, in the words of this folder


class Subject(NamedTuple):
    """A layer: which one, the arguments of its constructor but for the number of channels, and its modes."""

    framework: str
    channels: int
    arguments: dict
    training: bool
    dims: int = 1
    flag: bool | None = None  # torch: track_running_stats, changed after construction
    graph: bool = False       # mindspore: GRAPH_MODE


class Step(NamedTuple):
    """What one call gave: the output and the gradients by input, weight and bias; None where there is none."""

    output: np.ndarray
    input: np.ndarray | None = None
    weight: np.ndarray | None = None
    bias: np.ndarray | None = None


def dtype_of(name):
    """A NumPy dtype by name, bfloat16 among them."""
    if name == "bfloat16":
        import ml_dtypes
        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(name)


class Side:
    """What the sides share: arrays by name, and modes."""

    def __init__(self, framework):
        self.framework = framework

    def class_name(self, subject):
        return f"BatchNorm{subject.dims}d"

    def read(self, layer):
        """{"mean", "var", "weight", "bias", "count"}: copies, or None where the layer has no such array."""
        found = {ours: self._out(getattr(layer, name)) for ours, name in zip(OURS, ARRAYS[self.framework], strict=True)}
        count = getattr(layer, "num_batches_tracked", None)
        return {**found, "count": None if count is None else int(count)}

    def write(self, layer, arrays):
        """Put values into the layer's own arrays, in place; those that it has not are passed over."""
        for ours, name in zip(OURS, ARRAYS[self.framework], strict=True):
            if ours in arrays and arrays[ours] is not None and getattr(layer, name) is not None:
                self._put(getattr(layer, name), arrays[ours])
        if arrays.get("count") is not None:
            self._put(layer.num_batches_tracked, arrays["count"])

    def set_modes(self, layer, subject):
        if self.framework == "torch":
            layer.train(subject.training)
            if subject.flag is not None:
                layer.track_running_stats = subject.flag
        else:
            layer.set_train(subject.training)


class Ours(Side):
    """bnref's layers."""

    def build(self, subject):
        module = {"torch": bnref.torch, "mindspore": bnref.mindspore}[self.framework]
        layer = getattr(module, self.class_name(subject))(subject.channels, **subject.arguments)
        self.set_modes(layer, subject)
        return layer

    def step(self, layer, x, grad=None):
        output = layer(x)
        if grad is None:
            return Step(output)
        return Step(output, *layer.backward(grad))

    def keys(self, layer):
        return list(layer.state_dict() if self.framework == "torch" else layer.parameters_dict())

    @staticmethod
    def _out(value):
        return None if value is None else np.array(value)

    @staticmethod
    def _put(array, value):
        array[...] = value


class RealTorch(Side):
    """PyTorch's layers."""

    def __init__(self):
        super().__init__("torch")
        import torch
        self.torch, self.version = torch, torch.__version__.partition("+")[0]
        torch.set_num_threads(1)

    def tensor(self, x):
        if x.dtype.name == "bfloat16":
            return self.torch.from_numpy(x.astype(np.float32)).to(self.torch.bfloat16)
        return self.torch.from_numpy(np.ascontiguousarray(x))

    def build(self, subject):
        layer = getattr(self.torch.nn, self.class_name(subject))(subject.channels, **self._arguments(subject.arguments))
        self.set_modes(layer, subject)
        return layer

    def _arguments(self, arguments):
        if "dtype" in arguments:
            return {**arguments, "dtype": getattr(self.torch, arguments["dtype"])}
        return arguments

    def step(self, layer, x, grad=None):
        x = self.tensor(x)
        if grad is not None and x.dtype.is_floating_point:
            x.requires_grad_(True)
        y = layer(x)
        if grad is None:
            return Step(self._out(y))
        learn = [p for p in (layer.weight, layer.bias) if p is not None]
        gx, *rest = self.torch.autograd.grad(y, [x, *learn], self.tensor(grad))
        rest = dict(zip((name for name in ("weight", "bias") if getattr(layer, name) is not None), rest, strict=True))
        return Step(self._out(y), self._out(gx), *(self._out(rest.get(name)) for name in ("weight", "bias")))

    def second(self, layer, x, grad, gg_input, gg_weight, gg_bias):
        """Gradients, by grad, x and weight, of the gradients weighed with gg_*."""
        x, grad = self.tensor(x).requires_grad_(True), self.tensor(grad).requires_grad_(True)
        weights = {"weight": gg_weight, "bias": gg_bias}
        names = [name for name in weights if getattr(layer, name) is not None]
        first = self.torch.autograd.grad(layer(x), [x, *(getattr(layer, name) for name in names)], grad, create_graph=True)
        ggs = [self.tensor(gg_input), *(self.tensor(weights[name]) for name in names)]
        by = [grad, x] + ([layer.weight] if layer.weight is not None else [])
        # Of a sum over nothing torch keeps no graph: what a result does not depend on counts as 0.
        return [np.zeros(b.shape) if r is None else self._out(r) for b, r in
                zip(by, self.torch.autograd.grad(first, by, ggs, allow_unused=True), strict=True)]

    def keys(self, layer):
        return list(layer.state_dict())

    def _out(self, value):
        if value is None:
            return None
        value = value.detach()
        if value.dtype == self.torch.bfloat16:
            return value.float().numpy().astype(dtype_of("bfloat16"))
        return value.numpy().copy()

    def _put(self, tensor, value):
        with self.torch.no_grad():
            tensor.copy_(self.torch.from_numpy(np.asarray(value, np.float64)))


class RealMindSpore(Side):
    """MindSpore's layers."""

    def __init__(self):
        super().__init__("mindspore")
        import mindspore
        os.chdir(tempfile.mkdtemp())  # where a graph does not compile, MindSpore leaves its notes in the working directory
        self.ms, self.version = mindspore, mindspore.__version__

    def pynative(self):
        """Leave graph mode."""
        self.ms.set_context(mode=self.ms.PYNATIVE_MODE)

    def tensor(self, x):
        if x.dtype.name == "bfloat16":
            return self.ms.Tensor(x.astype(np.float32), self.ms.bfloat16)
        return self.ms.Tensor(x, getattr(self.ms, x.dtype.name))

    def build(self, subject):
        self.ms.set_context(mode=self.ms.GRAPH_MODE if subject.graph else self.ms.PYNATIVE_MODE)
        arguments = dict(subject.arguments)
        if "dtype" in arguments:
            arguments["dtype"] = getattr(self.ms, arguments["dtype"])
        layer = getattr(self.ms.nn, self.class_name(subject))(subject.channels, **arguments)
        self.set_modes(layer, subject)
        return layer

    def step(self, layer, x, grad=None):
        x = self.tensor(x)
        if grad is None:
            return Step(self._out(layer(x)))
        learn = layer.trainable_params()
        y, pull = self.ms.vjp(layer, x, weights=learn) if learn else self.ms.vjp(layer, x)
        back = pull(self.tensor(grad))
        (gx,), (gw, gb) = back if learn else (back, (None, None))
        return Step(self._out(y), *map(self._out, (gx, gw, gb)))

    def keys(self, layer):
        return list(layer.parameters_dict())

    def read(self, layer):
        return super().read(getattr(layer, "bn2d", layer))

    def write(self, layer, arrays):
        super().write(getattr(layer, "bn2d", layer), arrays)

    def _out(self, value):
        return None if value is None else value.asnumpy().copy()

    def _put(self, parameter, value):
        parameter.set_data(self.ms.Tensor(np.asarray(value), parameter.dtype))


def real(framework):
    """The real side; ImportError where the framework is not installed."""
    return {"torch": RealTorch, "mindspore": RealMindSpore}[framework]()
