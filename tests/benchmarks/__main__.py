"""Speed, sharpness and memory of bnref: `python -m tests.benchmarks` (or `make bench`).

Prints a table, and writes the numbers to results.json beside this file, from which notebooks/tools/benchmarks.py makes
RESULTS.md and its plots.  Medians of interleaved calls, one thread.  Peers that are not installed are left out.
"""

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"  # before NumPy is imported

import importlib.metadata  # noqa: E402
import importlib.util  # noqa: E402
import json  # noqa: E402
import platform  # noqa: E402
import statistics  # noqa: E402
import subprocess  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
import tracemalloc  # noqa: E402
from pathlib import Path  # noqa: E402

import numpy as np  # noqa: E402

import bnref  # noqa: E402
from bnref.arithmetic import evaluation  # noqa: E402
from bnref.arithmetic.plain import LANES  # noqa: E402
from bnref.arithmetic.scratch import Scratch  # noqa: E402
from bnref.arithmetic.tiles import BUFFER, tiles  # noqa: E402

SHAPES = [(32, 64), (256, 1024), (4096, 1024), (32, 64, 224), (8, 64, 3136), (64, 256, 1024)]
SIZES = [(15, 64, 1024), (763, 64, 1024)]  # a million and fifty million values: the time per element should not grow
DATA = {
    "randn": lambda rng, shape: rng.standard_normal(shape),
    "mean 1e4": lambda rng, shape: rng.standard_normal(shape) + 1e4,
    "lognormal(3)": lambda rng, shape: rng.lognormal(0, 3, shape),
}
EPS, MOMENTUM = 1e-5, 0.1
MODES = {"randn": ("training", "inference", "backward"), "mean 1e4": ("training", "inference", "backward"),
         "lognormal(3)": ("training", "inference")}  # what is measured on which data
HERE = Path(__file__).parent


def textbook(x, running_mean, running_var, weight, bias, training):
    shape = (1, -1) + (1,) * (x.ndim - 2)
    mean, var = running_mean.reshape(shape), running_var.reshape(shape)
    if training:
        axes = (0, *range(2, x.ndim))
        mean, var = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    return (x - mean) / np.sqrt(var + x.dtype.type(EPS)) * weight.reshape(shape) + bias.reshape(shape)


def textbook_backward(grad, x, weight):
    axes, n = (0, *range(2, x.ndim)), x.size // x.shape[1]
    mean, var = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    rstd = 1 / np.sqrt(var + x.dtype.type(EPS))
    xhat = (x - mean) * rstd
    dbias, dweight = grad.sum(axes, keepdims=True), (grad * xhat).sum(axes, keepdims=True)
    return weight.reshape(mean.shape) * rstd * (grad - dbias / n - xhat * (dweight / n)), dweight, dbias


def array_steps(x, training):
    """The array operations that bnref takes for float32 data on its tiles, without numbers per channel and what is written around them.

    bnref cannot be faster than that; a compiled kernel, which does many of these steps at a time, could.
    """
    numbers, ones, memory = np.full(x.shape[1], 1.5), np.ones(LANES), Scratch()
    summed, rounded = [], []  # tiles, and the memory for them
    for whole, work in ((False, summed), (True, rounded)):
        for tile in tiles(x.shape, 0, x.shape[1], whole=whole):
            shape = tile.part(x).shape
            values, high, flags = (memory.take(name, shape, dtype) for name, dtype in enumerate((np.float64, x.dtype, np.bool_)))
            lanes = values.reshape(-1)[: values.size // LANES * LANES].reshape(LANES, -1)
            work.append((tile, values, values.reshape(len(values), -1), lanes, memory.take("sums", lanes.shape[1:]), high, flags))

    def call():
        output, buffer = np.empty_like(x), np.setbufsize(BUFFER)
        for tile, values, flat, lanes, sums, *_ in summed if training else ():
            np.copyto(values, tile.part(x))
            np.matmul(ones, lanes, out=sums)
            np.multiply(flat, flat, out=flat)
            np.matmul(ones, lanes, out=sums)
        for tile, values, flat, _, _, high, flags in rounded:
            low = tile.part(output)
            np.copyto(values, tile.part(x))
            np.multiply(flat, tile.spread(numbers), out=flat)
            np.add(flat, tile.spread(numbers), out=flat)
            np.copyto(low, values, casting="same_kind")
            np.add(flat, tile.spread(numbers), out=flat)
            np.copyto(high, values, casting="same_kind")
            np.not_equal(low, high, out=flags).argmax()
        np.setbufsize(buffer)
        return output

    return call


def with_mpmath(x, weight, bias):
    """Training forward at 300 bits, on few channels: it is four orders of magnitude slower."""
    import mpmath

    with mpmath.workprec(300):
        for c in range(x.shape[1]):
            values = [mpmath.mpf(float(v)) for v in x[:, c].ravel()]
            mean = mpmath.fsum(values) / len(values)
            rstd = 1 / mpmath.sqrt(mpmath.fsum((v - mean) ** 2 for v in values) / len(values) + EPS)
            [float(weight[c] * (v - mean) * rstd + bias[c]) for v in values]


def torch_calls(x, rm, rv, w, b, training):
    import torch

    torch.set_num_threads(1)
    tx, tm, tv, tw, tb = (torch.from_numpy(a.copy()) for a in (x, rm, rv, w, b))
    out, save_mean, save_rstd = torch.empty_like(tx), torch.empty_like(tm), torch.empty_like(tm)
    arguments = (tx, tw, tb, tm, tv, training, MOMENTUM, EPS)
    return {
        "torch": lambda: torch.native_batch_norm(*arguments),
        "torch out=": lambda: torch.native_batch_norm(*arguments, out=(out, save_mean, save_rstd)),
    }


def onnx_calls(x, rm, rv, w, b, training):
    from onnx import TensorProto, helper, reference

    kind = TensorProto.FLOAT if x.dtype == np.float32 else TensorProto.DOUBLE
    names = ["x", "w", "b", "rm", "rv"]
    outputs = ["y", "new_rm", "new_rv"] if training else ["y"]
    node = helper.make_node("BatchNormalization", names, outputs, epsilon=EPS, momentum=1 - MOMENTUM, training_mode=int(training))
    info = [helper.make_tensor_value_info(name, kind, None) for name in names]
    graph = helper.make_graph([node], "bn", info, [helper.make_tensor_value_info(name, kind, None) for name in outputs])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=9)
    feed = dict(zip(names, (x, w, b, rm, rv)))
    evaluator = reference.ReferenceEvaluator(model)
    calls = {"onnx reference": lambda: evaluator.run(None, feed)}
    if importlib.util.find_spec("onnxruntime"):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        calls["onnxruntime"] = lambda: session.run(None, feed)
    return calls


def medians(calls, budget):
    """Median seconds of each call, taken in turns: in 3 to 51 rounds, as many as `budget` seconds have room for."""
    spent = {name: [] for name in calls}
    start, rounds = time.perf_counter(), 0
    while rounds < 3 or rounds < 51 and time.perf_counter() - start < budget:
        for name, call in calls.items():
            before = time.perf_counter()
            call()
            spent[name].append(time.perf_counter() - before)
        rounds += 1
    return {name: statistics.median(times) for name, times in spent.items()}


def exact_share(call, size):
    """The share of the elements that one call decides in exact arithmetic."""
    count, decide = [0], evaluation.Block.decide

    def counting(block, i, channels, *rest):
        count[0] += len(channels)
        return decide(block, i, channels, *rest)

    evaluation.Block.decide = counting
    try:
        call()
    finally:
        evaluation.Block.decide = decide
    return count[0] / size


def extra_memory(call, outputs):
    """Peak MiB beyond the outputs."""
    tracemalloc.start()
    call()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return (peak - outputs) / 2**20


def import_time(module):
    command = f"import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"
    if module != "numpy":
        command = "import numpy; " + command
    return statistics.median(float(subprocess.check_output([sys.executable, "-c", command])) for _ in range(7))


def calls_of(mode, x, grad, rm, rv, w, b):
    """The calls of one row."""
    if mode == "backward":
        return {"NumPy": lambda: textbook_backward(grad, x, w),
                "bnref": lambda: bnref.batch_norm_backward(grad, x, weight=w, training=True, eps=EPS)}
    training = mode == "training"
    if training:  # the state of a new layer, and the hardest: a tenth of a mean is often nearly a tie
        rm, rv = np.zeros_like(rm), np.ones_like(rv)
    calls = {"NumPy": lambda: textbook(x, rm, rv, w, b, training),
             "bnref": lambda: bnref.batch_norm(x, rm, rv, w, b, training=training, momentum=MOMENTUM, eps=EPS)}
    if x.dtype == np.float32:
        calls["array steps"] = array_steps(x, training)
    if importlib.util.find_spec("torch"):
        calls |= torch_calls(x, rm, rv, w, b, training)
    if importlib.util.find_spec("onnx"):
        calls |= onnx_calls(x, rm, rv, w, b, training)
    return calls


def measure(shape, dtype, name, modes):
    """A row for each mode: seconds of every call, the share of exact decisions, and the extra memory.

    All modes take their turns together: so inference can be compared with training.
    """
    rng = np.random.default_rng(0)
    x = DATA[name](rng, shape).astype(dtype)
    w, b, rm = (rng.standard_normal(shape[1]).astype(dtype) for _ in range(3))
    rv, copy = rm**2 + np.asarray(0.5, dtype), np.empty_like(x)
    grad = (rng.standard_normal(shape) + 0.5).astype(dtype) if "backward" in modes else None
    calls = {mode: calls_of(mode, x, grad, rm, rv, w, b) | {"memcpy": lambda: np.copyto(copy, x)} for mode in modes}
    taken = medians({(mode, peer): call for mode in modes for peer, call in calls[mode].items()}, 1.5 * len(modes))
    times = {mode: {peer: taken[mode, peer] for peer in calls[mode]} for mode in modes}
    few = min(2, shape[1])
    if "training" in modes and x.size <= 2**18 and importlib.util.find_spec("mpmath"):
        with_mpmath(x[:2, :few], w, b)  # the first call imports it
        before = time.perf_counter()
        with_mpmath(x[:, :few], w, b)
        times["training"]["mpmath"] = (time.perf_counter() - before) * shape[1] / few
    return [{"shape": shape, "dtype": dtype, "mode": mode, "data": name, "seconds": times[mode],
             "exact share": exact_share(calls[mode]["bnref"], x.size), "extra MiB": extra_memory(calls[mode]["bnref"], x.nbytes)}
            for mode in modes]


PEERS = ("torch", "onnxruntime", "onnx", "mpmath")


def processor():
    """What the machine calls its processor, where it says so."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def cases():
    """What is measured: (shape, dtype, name of the data, modes)."""
    for dtype in ("float32", "float64"):
        yield from ((shape, dtype, name, modes) for shape in SHAPES for name, modes in MODES.items())
    yield from ((shape, "float32", "randn", ("training",)) for shape in SIZES)


def main():
    rows = []
    for case in cases():
        for row in measure(*case):
            rows.append(row)
            taken = ", ".join(f"{peer} {seconds * 1e3:.2f}" for peer, seconds in row["seconds"].items())
            print(f"bench   {row['shape']}, {row['dtype']}, {row['mode']}, {row['data']}: {taken} ms", flush=True)
    record = {
        "machine": f"{processor()}, {os.cpu_count()} processors, one thread; {platform.system()}, Python "
                   f"{platform.python_version()}, NumPy {np.__version__}",
        "versions": {peer: importlib.metadata.version(peer) for peer in PEERS if importlib.util.find_spec(peer)},
        "rows": rows,
        "import seconds": {name: import_time(name) for name in ("numpy", "bnref")}}
    (HERE / "results.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
