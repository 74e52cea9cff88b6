"""Record what the real layers do in every state, into tests/golden/states_*.json, and in many small probes, into
tests/golden/probes_*.json.

    python tests/conformance/record_states.py torch
    python tests/conformance/record_states.py mindspore

Runs where the framework is installed, in the release that bnref mirrors; with `probes` as a second word, only those are
made anew.  PyTorch takes seconds, MindSpore two minutes: it compiles a layer for every row in graph mode.  MindSpore's
"undefined" is just that: after an empty batch the statistics depend on stale memory, and might look untouched.
"""

import json
import os
import re
import sys
import tempfile
import warnings
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

from observe import EPS, OLD, SCALE, observe  # noqa: E402
from probes import PROBES, answer  # noqa: E402

from bnref import states  # noqa: E402

GOLDEN = HERE.parent / "golden"
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


class TorchBench:
    """The real PyTorch."""

    names = ("weight", "bias")

    def __init__(self):
        import torch
        self.framework, self.version = torch, torch.__version__.partition("+")[0]

    def build(self, state):
        torch = self.framework
        layer = torch.nn.BatchNorm1d(3, eps=EPS, momentum=states.EXAMPLES["torch"]["momentum"][state.momentum],
                                     affine=state.affine, bias=state.bias,
                                     track_running_stats=state.track_running_stats)
        layer.train(state.training)
        layer.track_running_stats = state.flag
        arrays = dict(running_mean=OLD["mean"], running_var=OLD["var"], **SCALE)
        with torch.no_grad():
            for name, value in arrays.items():
                if getattr(layer, name) is not None:
                    getattr(layer, name).copy_(torch.tensor(value))
        return layer

    def call(self, layer, state, x):
        torch = self.framework
        dtype = getattr(torch, states.EXAMPLES["other"] if state.input == "other" else state.input)
        output = layer(torch.tensor(x).to(dtype))
        if output.requires_grad:
            output.double().sum().backward()
        return output.detach().double().numpy()

    def read(self, layer):
        numbers = {"mean": layer.running_mean, "var": layer.running_var, "count": layer.num_batches_tracked}
        return {name: None if value is None else value.double().numpy().copy() for name, value in numbers.items()}

    def learns(self, layer):
        return [name for name, parameter in layer.named_parameters() if parameter.grad is not None]

    def namespace(self):
        torch = self.framework

        def x(*shape, dtype="float32"):
            return torch.ones(shape).to(getattr(torch, dtype))

        return dict({name: getattr(torch.nn, name) for name in ("BatchNorm1d", "BatchNorm2d", "BatchNorm3d")},
                    x=x, array=lambda *values, dtype="float32": torch.tensor(values).to(getattr(torch, dtype)),
                    dtype=lambda name: getattr(torch, name),
                    values=lambda tensor: tensor.detach().double().tolist())


class MindSporeBench:
    """The real MindSpore."""

    names = ("gamma", "beta")

    def __init__(self):
        import mindspore
        os.chdir(tempfile.mkdtemp())  # where a graph does not compile, MindSpore leaves its notes in the working directory
        self.framework, self.version = mindspore, mindspore.__version__

    def build(self, state):
        ms = self.framework
        ms.set_context(mode=ms.GRAPH_MODE if state.mode == "graph" else ms.PYNATIVE_MODE)
        initial = {"gamma_init": SCALE["weight"], "beta_init": SCALE["bias"],
                   "moving_mean_init": OLD["mean"], "moving_var_init": OLD["var"]}
        layer = ms.nn.BatchNorm1d(3, eps=EPS, momentum=states.EXAMPLES["mindspore"]["momentum"][state.momentum],
                                  affine=state.affine, use_batch_statistics=state.use_batch_statistics,
                                  **{name: ms.Tensor(value.astype("float32")) for name, value in initial.items()})
        return layer.set_train(state.training)

    def call(self, layer, state, x):
        ms = self.framework
        dtype = getattr(ms, states.EXAMPLES["other"] if state.input == "other" else state.input)
        return layer(ms.Tensor(x).astype(dtype) if x.size else ms.Tensor(x, dtype)).asnumpy().astype("float64")

    def read(self, layer):
        return {"mean": layer.moving_mean.asnumpy().astype("float64").copy(),
                "var": layer.moving_variance.asnumpy().astype("float64").copy(), "count": None}

    def learns(self, layer):
        return [parameter.name for parameter in layer.trainable_params()]

    def namespace(self):
        import numpy as np
        ms = self.framework
        ms.set_context(mode=ms.PYNATIVE_MODE)
        return dict({name: getattr(ms.nn, name) for name in ("BatchNorm1d", "BatchNorm2d", "BatchNorm3d")},
                    x=lambda *shape, dtype="float32": ms.Tensor(np.ones(shape), getattr(ms, dtype)),
                    array=lambda *values, dtype="float32": ms.Tensor(np.array(values), getattr(ms, dtype)),
                    dtype=lambda name: getattr(ms, name),
                    values=lambda tensor: tensor.asnumpy().astype("float64").tolist())


def record(framework, bench, skip=lambda state: False):
    """Observe every state; return the record: distinct observations, and a letter for each state, "-" where skipped."""
    axes, seen, lines = states.AXES[framework], {}, {}
    leading = list(axes)[:-3]  # the rest is spelt out within a line
    for row in states.enumerate_states(framework):
        key = " ".join(str(getattr(row.state, axis)) for axis in leading)
        if key not in lines:
            print(f"{framework} {bench.version}: {len(lines)} lines, now {key}", file=sys.stderr, flush=True)
        if skip(row.state):
            letter = "-"
        else:
            text = json.dumps(observe(bench, row.state))
            letter = seen.setdefault(text, LETTERS[len(seen)])
        lines[key] = lines.get(key, "") + letter
    return {
        "framework": framework, "version": bench.version, "axes": {name: list(axis) for name, axis in axes.items()},
        "what": f"a line for each {', '.join(leading)}; in it a letter for each {', '.join(list(axes)[-3:])}",
        "letters": {letter: json.loads(text) for text, letter in seen.items()}, "lines": lines,
    }


def write(path, record):
    path.parent.mkdir(exist_ok=True)
    # A list of plain values on one line.
    text = re.sub(r"\[\n\s+([^\[\]{}]*?)\n\s*\]", lambda m: "[" + re.sub(r"\n\s+", " ", m[1]) + "]", json.dumps(record, indent=1))
    path.write_text(text + "\n", encoding="utf-8")
    print(f"wrote {path.name}", file=sys.stderr)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    framework = sys.argv[1]
    bench = {"torch": TorchBench, "mindspore": MindSporeBench}[framework]()
    if "probes" not in sys.argv[2:]:
        write(GOLDEN / f"states_{framework}.json", record(framework, bench))
    namespace = bench.namespace()
    write(GOLDEN / f"probes_{framework}.json", {"framework": framework, "version": bench.version,
                                               "answers": {code: answer(code, namespace) for code in PROBES[framework]}})
