"""Every result of `evaluate` is the correctly rounded one, by a referee that shares no code with it."""

import numpy as np
import pytest

from bnref.arithmetic import evaluate

from . import data, programs, referee

pytest.importorskip("ml_dtypes")
DTYPES = ["float16", "bfloat16", "float32", "float64"]


def assert_same(actual, expected, what):
    actual = np.asarray(actual).astype(np.float64).ravel()
    expected = np.array(expected, np.float64)
    wrong = np.flatnonzero((actual != expected) | (np.signbit(actual) != np.signbit(expected)))
    assert wrong.size == 0, f"{what}: {wrong.size} of {actual.size} misrounded, first {wrong[0]}: " \
        f"{float(actual[wrong[0]]).hex()}, correctly rounded {float(expected[wrong[0]]).hex()}"


def check(case, output="float32", statistics="float32"):
    """Compare all results of training and of inference with the referee's."""
    results = evaluate(programs.training, case, [output, *[statistics] * 4])
    exact = referee.batch_norm(*case, training=True)
    C = case.x.shape[1]
    defined = [c for c in range(C) if exact[c] is not None]
    for c in defined:
        y, mean, var, new_mean, new_var = exact[c]
        assert_same(results[0][:, c], [referee.rounded(v, output) for v in y], f"output of channel {c}")
        for name, actual, value in zip(["mean", "var", "running_mean", "running_var"], results[1:], [mean, var, new_mean, new_var]):
            assert_same(actual[c], [referee.rounded(value, statistics)], f"{name} of channel {c}")
    output_, = evaluate(programs.inference, case, [output])
    for c, (y, *_) in enumerate(referee.batch_norm(*case, training=False)):
        assert_same(output_[:, c], [referee.rounded(v, output) for v in y], f"inference output of channel {c}")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", data.CLASSES)
@pytest.mark.parametrize("wide, small", [(1, 0), (32, 0), (32, 1000)])  # (rows, channels) tiles, (channels, values) tiles, folded sums
def test_all_results_are_correctly_rounded(name, dtype, wide, small, monkeypatch):
    monkeypatch.setattr("bnref.arithmetic.tiles.WIDE", wide)
    monkeypatch.setattr("bnref.arithmetic.ball_batch.SMALL", small)
    case = data.CLASSES[name](np.random.default_rng(len(name)), dtype)
    keep = [c for c in range(case.x.shape[1]) if len(set(referee.fractions(case.x[:, c]))) > 1 or case.eps > 0]
    case = data.Case(case.x[:, keep], *(p[keep] for p in case[1:5]), *case[5:])
    check(case, dtype, "float64" if dtype == "float64" else "float32")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("eps", [2.0**-30, 2.0**-60, 2.0**-120, 2.0**-200, 2.0**-400])
def test_what_is_a_tie_or_cancels_but_for_eps_is_correctly_rounded(eps, dtype):
    check(data.roots_beside_squares(np.random.default_rng(8), dtype, eps), dtype, "float64" if dtype == "float64" else "float32")


@pytest.mark.parametrize("seed", range(12))
def test_mixed_dtypes_are_correctly_rounded(seed):
    rng = np.random.default_rng(seed)
    pick = [DTYPES[i] for i in rng.integers(0, 4, 7)]
    x = data.to(pick[0], rng.normal(size=(17, 4)) * 3 + rng.integers(-5, 5, 4))
    case = data.parameters(rng, x, eps=[1e-5, 0.0][seed % 2], momentum=[0.1, 0.9][seed % 3 % 2])
    case = case._replace(**{name: data.to(dtype, getattr(case, name).astype(np.float64))
                            for name, dtype in zip(["weight", "bias", "running_mean", "running_var"], pick[1:5])})
    check(case, pick[5], pick[6])


@pytest.mark.parametrize("scale", [1e200, 1e-200, 1e150, 1e-160, 1e300, 1e-300])
def test_float64_data_near_the_limits_of_the_exponent_are_correctly_rounded(scale):
    rng = np.random.default_rng(1)
    case = data.parameters(rng, rng.normal(size=(9, 3)) * scale, eps=0.0, dtype="float64")
    check(case, "float64", "float64")


def test_a_running_statistic_close_to_a_midpoint_is_decided_by_the_last_bits_of_the_momentum():
    rng = np.random.default_rng(10)
    x = np.tile(np.array([[2.0], [0.0]], np.float32), (1, 3000))
    case = data.parameters(rng, x)
    new_mean = evaluate(programs.training, case, ["float32"] * 5)[3]
    exact = [referee.Fraction(float(rm)) + referee.Fraction(0.1) * (1 - referee.Fraction(float(rm))) for rm in case.running_mean]
    assert_same(new_mean, [referee.rounded(v, "float32") for v in exact], "running_mean")
    naive = ((1 - 0.1) * case.running_mean.astype(float) + 0.1).astype(np.float32)
    assert np.any(naive != new_mean)  # the data are hard: float64 arithmetic fails on them
