"""onnxruntime's BatchNormalization, which infers, against `bnref.batch_norm`."""

import itertools

import numpy as np
from agreement import judge
from compare import arrays, normal
from tallies import Tally

OPSETS = (7, 9, 14, 15)
SHAPES = ((1, 3), (0, 3), (7, 3), (64, 5), (5, 3, 4), (2, 4, 3, 5), (2, 3, 2, 2, 3))
NAMES = ("x", "weight", "bias", "mean", "var")
EPS = (1e-5, 1e-3, 0.5)


class OnnxRuntime:
    """Sessions of one node."""

    framework = "onnxruntime"

    def __init__(self):
        import onnxruntime
        self.runtime, self.version, self._sessions = onnxruntime, onnxruntime.__version__, {}

    def normalise(self, x, values, eps, opset=15):
        """The output for x with weight, bias, mean and var from `values`."""
        key = x.dtype.name, x.ndim, eps, opset
        if key not in self._sessions:
            self._sessions[key] = self.runtime.InferenceSession(self._model(*key), providers=["CPUExecutionProvider"])
        return self._sessions[key].run(None, dict({name: values[name] for name in NAMES[1:]}, x=x))[0]

    @staticmethod
    def _model(dtype, rank, eps, opset):
        from onnx import TensorProto, helper
        kind = {"float16": TensorProto.FLOAT16, "float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE}[dtype]
        inputs = [helper.make_tensor_value_info(name, kind, [None] * (rank if name == "x" else 1)) for name in NAMES]
        node = helper.make_node("BatchNormalization", list(NAMES), ["y"], epsilon=eps)
        graph = helper.make_graph([node], "one_node", inputs, [helper.make_tensor_value_info("y", kind, [None] * rank)])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
        return model.SerializeToString()


def run(real, progress):
    """Compare; return the tally."""
    tally = Tally("onnxruntime: inference")
    cases = list(itertools.product(("float32", "float64", "float16"), OPSETS, SHAPES, EPS, ((0, 1), (100, 1), (-3, 1e-2))))
    for number, (dtype, opset, shape, eps, scale) in enumerate(cases):
        rng = np.random.default_rng(number)
        values = {name: value.astype(dtype) for name, value in arrays(rng, shape[1]).items()}
        x = normal(rng, shape, dtype, *scale)
        y = real.normalise(x, values, eps, opset)
        # The format of a model keeps eps in float32.
        problems = judge({"output": y}, x, training=False, eps=float(np.float32(eps)), **values)
        tally.add([f"{dtype} {shape} opset {opset} eps {eps}: {problem}" for problem in problems])
        progress(tally.what, number + 1, len(cases))
    return tally
