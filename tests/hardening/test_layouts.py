"""However an array lies in memory, the results are those of its plain copy, bit for bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bnref

ml_dtypes = pytest.importorskip("ml_dtypes")
DTYPES = [np.dtype(dtype) for dtype in (np.float16, ml_dtypes.bfloat16, np.float32, np.float64)]


class Labelled(np.ndarray):
    """A subclass with a wish of its own about what its operations give."""

    def __array_ufunc__(self, *args, **kwargs):
        raise AssertionError("an operation on a subclass")


LAYOUTS = {
    "C order": lambda a: np.array(a, order="C"),
    "Fortran order": lambda a: np.array(a, order="F"),
    "reversed": lambda a: a[(slice(None, None, -1),) * a.ndim].copy()[(slice(None, None, -1),) * a.ndim],
    "every second": lambda a: _within(a, lambda big: big[(slice(None, None, 2),) * a.ndim], 2),
    "axes swapped": lambda a: np.moveaxis(np.moveaxis(a, 0, -1).copy(), -1, 0),
    "other byte order": lambda a: a.astype(a.dtype.newbyteorder()),
    "unaligned": lambda a: _unaligned(a),
    "read-only": lambda a: _read_only(a),
    "subclass": lambda a: a.copy().view(Labelled),
    "recarray": lambda a: a.copy().view(np.recarray),
    "in a record": lambda a: _in_a_record(a),
}


def _within(a, view, factor):
    part = view(np.zeros([factor * extent for extent in a.shape], a.dtype))
    part[...] = a
    return part


def _unaligned(a):
    raw = np.zeros(a.nbytes + 1, np.uint8)[1:].view(a.dtype).reshape(a.shape)
    raw[...] = a
    return raw


def _read_only(a):
    a = a.copy()
    a.flags.writeable = False
    return a


def _in_a_record(a):
    records = np.zeros(a.shape, [("before", "u1"), ("value", a.dtype)])
    records["value"] = a
    return records["value"]


@st.composite
def arrays(draw, shape, positive=False):
    """An array of one of the formats, and the same values in another layout."""
    dtype = draw(st.sampled_from(DTYPES))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    values = rng.normal(draw(st.sampled_from([0, 3, 300])), 1, shape)
    plain = np.ascontiguousarray(np.abs(values) + 0.5 if positive else values).astype(dtype).reshape(shape)
    if draw(st.booleans()):  # all values of some axis alike, so that a stride of zero can stand for them
        axis = draw(st.integers(0, len(shape) - 1))
        some = plain.take([0], axis=axis) if shape[axis] else plain
        repeated = np.broadcast_to(some, shape) if shape[axis] else plain
        return np.ascontiguousarray(repeated), repeated
    return plain, LAYOUTS[draw(st.sampled_from(sorted(LAYOUTS)))](plain)


shapes = st.tuples(st.integers(0, 6), st.integers(0, 4), st.lists(st.integers(0, 3), max_size=3)).map(
    lambda parts: (*parts[:2], *parts[2]))
examples = settings(max_examples=40, deadline=None, derandomize=True)


@st.composite
def operands(draw):
    """({name: plain array}, {name: the same in some layout}, training) of a call."""
    shape = draw(shapes)
    batch, channel = arrays(shape), arrays(shape[1:2])
    pairs = {"input": draw(batch), "grad_output": draw(batch), "grad_grad_input": draw(batch),
             "running_mean": draw(channel), "running_var": draw(arrays(shape[1:2], positive=True)), "weight": draw(channel),
             "bias": draw(channel), "grad_grad_weight": draw(channel), "grad_grad_bias": draw(channel)}
    plain, laid = ({name: pair[side] for name, pair in pairs.items()} for side in (0, 1))
    return plain, laid, draw(st.booleans())


def bits(array):
    """The values, whatever the order of their bytes; NaN is NaN."""
    return array.dtype.newbyteorder("="), array.shape, array.astype(array.dtype.newbyteorder("=")).tobytes()


def same(ours, theirs):
    assert [name for name in ours if bits(ours[name]) != bits(theirs[name])] == [] and set(ours) == set(theirs)
    assert all(type(array) is np.ndarray for array in [*ours.values(), *theirs.values()])


def functional(training, arrays):
    statistics = [arrays[name] for name in ("running_mean", "running_var", "weight")]
    forward = bnref.batch_norm(arrays["input"], *statistics, arrays["bias"], training=training)
    backward = bnref.batch_norm_backward(arrays["grad_output"], arrays["input"], *statistics, training=training)
    double = bnref.batch_norm_double_backward(
        *(arrays[name] for name in ("grad_grad_input", "grad_grad_weight", "grad_grad_bias", "grad_output", "input")),
        *statistics, training=training)
    return {f"{kind}.{name}": array for kind, record in (("forward", forward), ("backward", backward), ("double", double))
            for name, array in record._asdict().items() if array is not None}


@examples
@given(operands())
def test_the_functional_form_gives_the_bits_of_the_plain_copy_and_changes_nothing(given):
    plain, laid, training = given
    before = {name: bits(np.array(array)) for name, array in laid.items()}
    same(functional(training, laid), functional(training, plain))
    assert {name: bits(np.array(array)) for name, array in laid.items()} == before


def layer_results(module, training, x, grad, weight):
    layer = getattr(module, f"BatchNorm{x.ndim - 2 or 1}d")(x.shape[1])
    names = [name for name in ("weight", "gamma") if hasattr(layer, name)]
    getattr(layer, names[0])[...] = weight
    (layer.train if module is bnref.torch else layer.set_train)(training)
    output = layer(x)
    own = layer.state_dict() if module is bnref.torch else {p.name: p.array for p in layer.parameters_dict().values()}
    return {"output": output, **{f"gradient {name}": array for name, array in layer.backward(grad)._asdict().items()}, **own}


@examples
@given(st.data(), st.sampled_from([bnref.torch, bnref.mindspore]), st.booleans())
def test_a_layer_gives_the_bits_of_the_plain_copy_and_changes_nothing(data, module, training):
    shape = data.draw(st.tuples(st.integers(2, 6), st.integers(1, 4), st.lists(st.integers(1, 3), max_size=3)).map(
        lambda parts: (*parts[:2], *parts[2])))
    pairs = data.draw(st.tuples(arrays(shape), arrays(shape)))
    plain, laid = zip(*pairs)
    takes = (np.float16, np.float32)
    plain, laid = ([array if array.dtype.type in takes else array.astype(np.float32) for array in both] for both in (plain, laid))
    plain[1], laid[1] = (grad.astype(x.dtype, copy=False) for x, grad in zip((plain[0], laid[0]), (plain[1], laid[1])))
    weight = np.arange(1, shape[1] + 1)
    before = [bits(np.array(array)) for array in laid]
    same(layer_results(module, training, *laid, weight), layer_results(module, training, *plain, weight))
    assert [bits(np.array(array)) for array in laid] == before


@examples
@given(operands())
def test_a_comparison_is_that_of_the_plain_copy(given):
    plain, laid, training = given
    true = bnref.batch_norm(plain["input"], *(plain[name] for name in ("running_mean", "running_var", "weight", "bias")),
                            training=training)
    names = ("input", "running_mean", "running_var", "weight", "bias", "grad_output")
    found = [bnref.testing.compare({"output": true.output, "grad_weight": np.ones(true.output.shape[1])},
                                   **{name: arrays[name] for name in names}, training=training) for arrays in (plain, laid)]
    ours, theirs = ([(record.problem, record.wrong, record.index, record.grade) for record in each.records.values()]
                    for each in found)
    assert ours == theirs and (found[0]["output"].grade == "correctly rounded" or not true.output.size)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("mode", ["r", "r+", "c"])
def test_memory_maps_give_the_bits_of_the_array_and_the_file_stays_as_it_is(tmp_path, dtype, mode):
    rng = np.random.default_rng(3)
    plain = {"input": rng.normal(5, 2, (7, 4, 3)).astype(dtype), "weight": rng.normal(1, 1, 4).astype(dtype)}
    mapped = {}
    for name, array in plain.items():
        array.tofile(tmp_path / name)
        mapped[name] = np.memmap(tmp_path / name, dtype, mode, shape=array.shape)
    files = {name: (tmp_path / name).read_bytes() for name in plain}
    ours, theirs = (bnref.batch_norm(**each, training=True)._asdict() for each in (mapped, plain))
    same(*({name: array for name, array in each.items() if array is not None} for each in (ours, theirs)))
    assert {name: (tmp_path / name).read_bytes() for name in plain} == files


def test_a_matrix_gives_an_array():
    x = np.array([[1.0, 2.0], [3.0, 5.0], [4.0, 4.0]])
    with pytest.warns(PendingDeprecationWarning):
        matrix = np.matrix(x)
    ours = bnref.batch_norm(matrix, training=True).output
    assert type(ours) is np.ndarray and np.array_equal(ours, bnref.batch_norm(x, training=True).output)


def test_the_results_of_swapped_bytes_have_swapped_bytes():
    for dtype in DTYPES:
        x = np.array([[1, 2], [3, 5], [4, 4]]).astype(dtype)
        swapped = x.astype(dtype.newbyteorder())
        ours, theirs = bnref.batch_norm(swapped, training=True).output, bnref.batch_norm(x, training=True).output
        assert ours.dtype == swapped.dtype and ours.tobytes() == theirs.astype(swapped.dtype).tobytes() != theirs.tobytes()
