"""Every operator that a program may use means the same in every number system, and is rounded once."""

from fractions import Fraction

import numpy as np
import pytest

from bnref.arithmetic import arrays, ball_batch, evaluate, evaluation

RNG = np.random.default_rng(8)
X, G = (RNG.integers(-40, 40, (5, 3)) / 8 for _ in range(2))
WEIGHT = np.array([1.5, -0.75, 3.0])


def powers(x, g, weight, c, *, xp):
    return x**3, xp.sum(x**3), xp.sum(g * x * x), xp.sum(x * g * (x - g)), weight**2 * x


def on_the_right(x, g, weight, c, *, xp):
    total = xp.sum(x)
    return 1 - x, weight - x, weight * x + (2 - g) * x, c - total, c / (total * total + 1), 2 * x + (1 + g), c + total


def of_a_sum(x, g, weight, c, *, xp):
    n = xp.count(x)
    sums = xp.sum(weight - x) / n, xp.sum(1 - g), xp.sum(c * x + weight), xp.sum(x + x), xp.sum((x + g) ** 2)
    return -x / n, *sums, -(xp.sum(-g) - n), (xp.sum(x) - c) ** 3


def of_small_integers(x, g, weight, c, *, xp):
    return 1 * x, x * 1 + 0, xp.sum(g * 0 + 1), xp.sum(x) * 1, xp.sum(x) - xp.sum(x), 0 * xp.sum(g) + x


def of_shifts_and_scales(x, g, weight, c, *, xp):
    y = x * 2 - weight
    return x, (y - 1) * c, ((x * weight - c) * 3 + weight) * weight, (g + 40) * 2 - 80, y * weight + y, (g - c) * (g - c)


def about_a_mean(x, g, weight, c, *, xp):
    mean = xp.sum(x) / xp.count(x)
    return (x - mean) * weight + c, ((x * weight - mean) * 3 + 2) * weight, (x - mean) * (g + mean), mean


@pytest.mark.parametrize("large", [False, True])  # large batches: a search for cheaper forms, and what is known of the results' size
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("c", [3, 0.1, Fraction(1, 3), Fraction(2) ** 80 + 1, 2**70 + 1], ids=str)
@pytest.mark.parametrize("program", [powers, on_the_right, of_a_sum, of_small_integers, of_shifts_and_scales, about_a_mean])
def test_a_program_gives_the_values_that_it_has_on_fractions_rounded_once(program, c, dtype, large, monkeypatch):
    if large:
        monkeypatch.setattr(evaluation, "LARGE", 0)
        monkeypatch.setattr(ball_batch, "SMALL", 0)
    true = program(*(arrays.rationals(a) for a in (X, G, WEIGHT)), Fraction(c), xp=arrays)
    got = evaluate(program, (X.astype(dtype), G.astype(dtype), WEIGHT, c), (dtype,) * len(true))
    for k, (ours, theirs) in enumerate(zip(got, true, strict=True)):
        theirs = np.broadcast_to(theirs, ours.shape)
        with np.errstate(over="ignore"):
            rounded = np.array([once(value, dtype) for value in theirs.ravel()], dtype).reshape(ours.shape)
        assert np.array_equal(ours, rounded), k


def once(value, dtype):
    """A Fraction rounded to nearest, ties to even: float64 as Python does it; narrower from the two neighbours of float64."""
    near = dtype(float(value))
    if dtype is np.float64 or not np.isfinite(near):
        return near
    candidates = [np.nextafter(near, dtype(-np.inf)), near, np.nextafter(near, dtype(np.inf))]
    return min((x for x in candidates if np.isfinite(x)),
               key=lambda x: (abs(Fraction(float(x)) - value), int(x.view(f"u{dtype().itemsize}")) & 1))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_sum_of_no_values_is_0_and_so_is_their_number(dtype):
    none = np.empty((0, 3), dtype)
    results = evaluate(lambda x, *, xp: (xp.sum(x), xp.sum(x * x + 1) + 2, xp.count(x) + np.ones(3)), (none,), (dtype,) * 3)
    assert [result.tolist() for result in results] == [[0.0] * 3, [2.0] * 3, [1.0] * 3]


@pytest.mark.parametrize("wrong", [lambda x, g, weight, c, *, xp: x / g, lambda x, g, weight, c, *, xp: c / x,
                                   lambda x, g, weight, c, *, xp: xp.sum(x / g)])
def test_a_batch_value_divides_nothing(wrong):
    with pytest.raises(TypeError):
        evaluate(wrong, (X, G, WEIGHT, 2), (np.float64,))
