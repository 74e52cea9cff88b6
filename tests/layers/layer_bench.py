"""The workbenches on which bnref's layers do the experiments of tests/conformance/observe.py, and its probes."""

import json
from pathlib import Path

import numpy as np
from observe import EPS, OLD, SCALE

import bnref.mindspore
import bnref.torch
from bnref import states

GOLDEN = Path(__file__).parents[1] / "golden"


def bfloat16_is_here():
    try:
        import ml_dtypes  # noqa: F401
    except ImportError:
        return False
    return True


def golden(kind, framework):
    return json.loads((GOLDEN / f"{kind}_{framework}.json").read_text(encoding="utf-8"))


def numpy_dtype(name):
    if name == "bfloat16":
        import ml_dtypes
        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(states.EXAMPLES["other"] if name == "other" else name)


class TorchBench:
    names = ("weight", "bias")

    def build(self, state):
        layer = bnref.torch.BatchNorm1d(3, eps=EPS, momentum=states.EXAMPLES["torch"]["momentum"][state.momentum],
                                        affine=state.affine, bias=state.bias,
                                        track_running_stats=state.track_running_stats)
        layer.train(state.training)
        layer.track_running_stats = state.flag
        for name, value in dict(running_mean=OLD["mean"], running_var=OLD["var"], **SCALE).items():
            if getattr(layer, name) is not None:
                getattr(layer, name)[...] = value
        return layer

    def call(self, layer, state, x):
        return layer(x.astype(numpy_dtype(state.input))).astype(np.float64)

    def read(self, layer):
        numbers = {"mean": layer.running_mean, "var": layer.running_var, "count": layer.num_batches_tracked}
        return {name: None if value is None else np.array(value, np.float64) for name, value in numbers.items()}

    def learns(self, layer):
        return [name for name in self.names if getattr(layer, name) is not None]


class MindSporeBench:
    names = ("gamma", "beta")

    def build(self, state):
        initial = {"gamma_init": SCALE["weight"], "beta_init": SCALE["bias"],
                   "moving_mean_init": OLD["mean"], "moving_var_init": OLD["var"]}
        layer = bnref.mindspore.BatchNorm1d(
            3, eps=EPS, momentum=states.EXAMPLES["mindspore"]["momentum"][state.momentum], affine=state.affine,
            use_batch_statistics=state.use_batch_statistics,
            **{name: value.astype(np.float32) for name, value in initial.items()})
        return layer.set_train(state.training)

    def call(self, layer, state, x):
        return layer(x.astype(numpy_dtype(state.input))).astype(np.float64)

    def read(self, layer):
        return {"mean": layer.moving_mean.astype(np.float64), "var": layer.moving_variance.astype(np.float64), "count": None}

    def learns(self, layer):
        return [parameter.name for parameter in layer.trainable_params()]


BENCHES = {"torch": TorchBench(), "mindspore": MindSporeBench()}


def namespace(framework):
    """What the probes of a framework see when they are put to bnref."""
    module = {"torch": bnref.torch, "mindspore": bnref.mindspore}[framework]
    return dict({name: getattr(module, name) for name in ("BatchNorm1d", "BatchNorm2d", "BatchNorm3d")},
                x=lambda *shape, dtype="float32": np.ones(shape, numpy_dtype(dtype)),
                array=lambda *values, dtype="float32": np.array(values, numpy_dtype(dtype)),
                dtype=numpy_dtype, values=lambda array: array.astype(np.float64).tolist())
