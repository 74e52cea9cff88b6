"""What no argument may be: pools of values for every kind of argument, each to be refused there."""

import itertools
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from numbers import Real

import numpy as np
import pytest

ml_dtypes = pytest.importorskip("ml_dtypes")


class Stubborn(Exception):
    """What hostile objects raise: no class that bnref could expect."""


def _raises(self, *args, **kwargs):
    raise Stubborn("this object does not cooperate")


class ArrayRaises:
    __array__ = _raises


class ArrayGives:
    def __init__(self, value):
        self.value = value

    def __array__(self, *args, **kwargs):
        return self.value


class InterfaceLies:
    __array_interface__ = {"shape": (-3, "x"), "typestr": "<f4", "data": (0, False), "version": 3}


class DlpackRaises:
    __dlpack__ = __dlpack_device__ = _raises


class Endless:
    """A sequence that says that it is long, and is."""

    def __len__(self):
        return 10**9

    def __getitem__(self, at):
        return 1.0


class Unprintable:
    __repr__ = __str__ = __format__ = _raises


class NeitherTrueNorFalse:
    __bool__ = __eq__ = _raises
    __hash__ = None


class NoFloat(Real):
    """A number by name."""

    __float__ = __trunc__ = __floor__ = __ceil__ = __round__ = __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = _raises
    __lt__ = __le__ = __add__ = __radd__ = __neg__ = __pos__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _raises
    __pow__ = __rpow__ = __abs__ = __eq__ = _raises
    __hash__ = None


class ShapeRaises:
    shape = property(_raises)


class BadMapping(Mapping):
    def __len__(self):
        return 3

    __iter__ = __getitem__ = _raises


def look_alike(name, size):
    """A dtype that NumPy calls `name` + the number of its bits, and that is a structure."""
    return np.dtype((type(name, (np.void,), {}), size))


def circular():
    circle = []
    circle.append(circle)
    return circle


HUGE = np.broadcast_to(np.float32(1), (2**20, 2**20))
NOTHING_SENSIBLE = [  # no array, no number, no flag, no name
    lambda: object(), lambda: {}, lambda: {"a": 1.0}, lambda: set(), lambda: range(10**9), lambda: (i for i in range(3)),
    lambda: itertools.count(), lambda: len, lambda: Ellipsis, lambda: NotImplemented, lambda: float, lambda: slice(3),
    lambda: np.datetime64("2020-01-01"), lambda: 3 + 4j, Endless, Unprintable, NeitherTrueNorFalse, ArrayRaises,
    lambda: ArrayGives("text"), lambda: ArrayGives(None), lambda: ArrayGives(np.array([object()])), InterfaceLies,
    DlpackRaises, circular, lambda: [[1.0], [1.0, 2.0]], lambda: [["a", "b"], ["c", "d"]], lambda: bytearray(b"12345678"),
    lambda: memoryview(b"1234"), lambda: np.ma.masked, ShapeRaises, lambda: np.array(["a", None], object)]
TEXT = [lambda: "text", lambda: "", lambda: "x" * 10**6, lambda: b"bytes", lambda: "\ud800"]
NUMBERS = [lambda: 7, lambda: -1, lambda: 2**63, lambda: 10**400, lambda: -(10**5000), lambda: 1.5, lambda: Fraction(1, 3),
           lambda: Decimal("0.1"), lambda: True, lambda: np.int64(3), lambda: np.float32(2)]
WRONG_DTYPES = [np.int64, bool, np.uint8, complex, np.complex64, object, "U3", "S2", "M8[s]", "m8[s]", np.longdouble,
                [("a", "f4"), ("b", "f8")], "V4", look_alike("float", 4), look_alike("float", 8), look_alike("bfloat", 2)]


def of_wrong_dtype(shape, keep=()):
    """Arrays of every dtype that is none of the four formats, but for the kinds in `keep`."""
    return [lambda d=dtype: np.zeros(shape, d) for dtype in map(np.dtype, WRONG_DTYPES) if dtype.kind not in keep]


def masked(shape):
    return [lambda: np.ma.masked_array(np.ones(shape)), lambda: np.ma.masked_array(np.ones(shape), mask=True)]


def batches(x):
    """No (N, C, *) array of a format."""
    return (NOTHING_SENSIBLE + TEXT + NUMBERS + of_wrong_dtype(x.shape) + masked(x.shape)
            + [lambda: [], lambda: [[1, 2], [3, 4]], lambda: x[0, :, 0] if x.ndim > 2 else x[0], lambda: np.float32(3),
               lambda: np.array(2.0), lambda: HUGE, lambda: HUGE[None]])


def likes(x):
    """No array of the shape of x."""
    return batches(x) + [lambda: x[:-1], lambda: x[:, :-1], lambda: x[None], lambda: x[..., None], lambda: x[:1],
                         lambda: np.moveaxis(x, 0, -1), lambda: np.ones((0, *x.shape[1:]))]


def channel_arrays(c, keep=()):
    """Arrays that do not hold one value of a format for each of c channels."""
    return of_wrong_dtype(c, keep) + masked(c) + [
        lambda: np.ones(c + 1), lambda: np.ones(c - 1), lambda: np.ones((c, 1)), lambda: np.ones((1, c)), lambda: np.array(1.0),
        lambda: HUGE[0], lambda: np.ones(0)]


def channels(c):
    """Nor anything else that could be read as one; None, which leaves the argument out, is not among them."""
    return NOTHING_SENSIBLE + TEXT + NUMBERS + channel_arrays(c) + [lambda: [], lambda: [1] * c]


FLAGS = NOTHING_SENSIBLE + TEXT + [lambda: 3, lambda: -1, lambda: np.ones(3), lambda: 0.5, lambda: float("nan")]
NOT_FINITE = [lambda: float("nan"), lambda: float("inf"), lambda: float("-inf"), lambda: np.float32("nan"), lambda: 10**400,
              lambda: -(10**5000), lambda: Fraction(10**400), lambda: np.float16("inf")]
NO_NUMBERS = (NOTHING_SENSIBLE + TEXT
              + [lambda: np.ones(1), lambda: np.array(0.1), lambda: Decimal("0.1"), lambda: [0.1], lambda: NoFloat()])
FINITE_NUMBERS = NO_NUMBERS + NOT_FINITE + [lambda: None, lambda: True, lambda: np.bool_(True)]
UNDECIDED = [NeitherTrueNorFalse, lambda: np.ones(3), lambda: np.array([[True, False]])]  # bool() fails
NO_STRINGS = NOTHING_SENSIBLE + NUMBERS + [lambda: b"bytes", lambda: ["bn1."]]
NO_DTYPES = [lambda: "float33", lambda: "int32", lambda: np.int8, lambda: complex, lambda: object, lambda: "f4,f4",
             lambda: [("a", "f4")], lambda: {}, lambda: {"names": 3}, lambda: np.longdouble, lambda: 3, lambda: "",
             lambda: look_alike("bfloat", 2), lambda: look_alike("float", 4), lambda: b"\xff", lambda: circular(),
             Unprintable, Endless, lambda: "x" * 10**6, lambda: "\ud800", lambda: np.ones(3)]
SIZES = NOTHING_SENSIBLE + TEXT + [lambda: None, lambda: 2.0, lambda: True, lambda: [3], lambda: np.ones(1), lambda: -1,
                                   lambda: -(10**400), lambda: 10**18, lambda: 2**63, lambda: 10**400, lambda: 10**5000,
                                   lambda: np.int64(2**62), lambda: Fraction(3)]
