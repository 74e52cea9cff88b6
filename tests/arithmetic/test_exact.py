"""The exact numbers, and rounding them."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnref.arithmetic import exact, moments
from bnref.arithmetic.exact import Exact, ExactChannel, NotFinite, number, round_to
from bnref.arithmetic.rounding import format_of
from bnref.arithmetic.tiles import LONGEST

from . import programs, referee

ml_dtypes = pytest.importorskip("ml_dtypes")
DTYPES = {"float16": np.float16, "bfloat16": ml_dtypes.bfloat16, "float32": np.float32, "float64": np.float64}
rationals = st.fractions(max_denominator=10**6)
scaled = st.builds(lambda q, e: q * Fraction(2) ** e, rationals, st.integers(-1200, 1200))


@pytest.mark.parametrize("name", DTYPES)
@settings(max_examples=200, deadline=None)
@given(scaled)
def test_a_rational_is_rounded_as_the_referee_rounds_it(name, value):
    assert float(round_to(value, DTYPES[name])) == referee.rounded(value, name)


@pytest.mark.parametrize("name", DTYPES)
@settings(max_examples=200, deadline=None)
@given(a=rationals, b=rationals, W=st.fractions(min_value=Fraction(1, 10**6), max_denominator=10**6))
def test_a_plus_b_root_w_is_rounded_as_the_referee_rounds_it(name, a, b, W):
    value = number(a) + number(b) * number(W).sqrt()
    assert float(round_to(value, DTYPES[name])) == referee.rounded(a + b * referee.root(W), name)


@pytest.mark.parametrize("name", DTYPES)
def test_a_midpoint_goes_to_the_even_neighbour_and_anything_beside_it_to_the_nearer(name):
    bits, lowest, top = referee.FORMATS[name]
    for exponent in (0, 7, lowest + bits, lowest):
        place = Fraction(2) ** max(exponent - bits + 1, lowest)
        small = (0, 1, 2) if exponent == lowest else ()  # subnormal
        for count in (2 ** (bits - 1), 2 ** (bits - 1) + 1, 2**bits - 1, *small):
            middle = (count + Fraction(1, 2)) * place
            tiny = place / 2**300
            assert float(round_to(middle, DTYPES[name])) == float((count + count % 2) * place)
            assert float(round_to(middle + tiny, DTYPES[name])) == float((count + 1) * place)
            assert float(round_to(middle - tiny, DTYPES[name])) == float(count * place)


@pytest.mark.parametrize("name", DTYPES)
def test_overflow_starts_half_a_place_above_the_greatest_number(name):
    bits, _, top = referee.FORMATS[name]
    limit = Fraction(2) ** top - Fraction(2) ** (top - bits - 1)
    assert float(round_to(limit, DTYPES[name])) == math.inf
    assert float(round_to(-limit, DTYPES[name])) == -math.inf
    assert np.isfinite(float(round_to(limit - 1 if name != "float16" else limit - Fraction(1, 9), DTYPES[name])))


def test_zero_is_positive_and_what_underflows_keeps_its_sign():
    for dtype in DTYPES.values():
        assert not np.signbit(round_to(0, dtype)) and float(round_to(0, dtype)) == 0
        assert type(round_to(0, dtype)) is type(round_to(math.inf, dtype)) is dtype
        below = round_to(-Fraction(1, 2**1200), dtype)
        assert np.signbit(below) and float(below) == 0


@settings(max_examples=100, deadline=None)
@given(a=rationals, b=rationals, c=rationals, d=rationals, W=st.sampled_from([Fraction(2), Fraction(3, 7), Fraction(9, 4)]))
def test_arithmetic_in_the_field_is_that_of_the_reals(a, b, c, d, W):
    root = number(W).sqrt()
    x, y = a + b * root, c + d * root
    r = referee.root(W)
    u, v = a + b * r, c + d * r
    pairs = [(x + y, u + v), (x - y, u - v), (x * y, u * v), (-x, -u), (x**3, u**3), (1 - x, 1 - u), (2 * x, 2 * u), (number(2) * x, 2 * u)]
    if y.sign():
        pairs += [(x / y, u / v), (1 / y, 1 / v), (3 / y, 3 / v)]
    for actual, value in pairs:
        assert abs(actual.a + actual.b * referee.root(actual.W or Fraction(1)) - value) <= (1 + abs(value)) * Fraction(1, 2**600)


BESIDE_ONE = [Fraction(2)**-k * sign for k in (1, 2, 3, 4, 30, 120, 200, 400, 1000) for sign in (-1, 1)]


@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize("beside", BESIDE_ONE)
def test_what_cancels_but_for_a_root_is_rounded_as_the_referee_rounds_it(beside, name):
    """A few digits cancel, or more than those by which roots are first known."""
    for a, b in ((-1, 1), (1, -1), (-3, 3)):
        value = number(a) + b * number(1 + beside).sqrt()
        assert float(round_to(value, DTYPES[name])) == referee.rounded(a + b * referee.root(1 + beside), name)


@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize("beside", BESIDE_ONE)
@pytest.mark.parametrize("factor", [1, -1, Fraction(3, 7), 2**40])
def test_a_batch_value_is_rounded_position_by_position_as_its_exact_values_are(factor, beside, name):
    """Midpoints times a root beside 1, and differences that cancel but for it: to know the root from below and above does not do."""
    bits = min(referee.FORMATS[name][0], 52)  # float64 holds no midpoints of float64
    least = 2.0 ** referee.FORMATS[name][1]
    values = [1.0, -1.0, 0.0, 3.0, 1 + 2.0**-bits, -1 - 2.0**-bits, 1 + 3 * 2.0**-bits, 0.1, -1e-5, least, -3 * least, 1e300]
    x, g = ExactChannel([values, values[::-1]]).operands
    root = number(1 + beside).sqrt()
    scale = factor / root
    for batch in (x * scale, x * scale - factor, (x - g) * scale, x * g * scale + g, x * 3 + g * scale, x * root - 1,
                  x * 3 - number(Fraction(1, 3)), x * scale - x * scale, x / 2):
        positions = exact.Positions(batch, 2, format_of(DTYPES[name]))
        for pair in zip(values, values[::-1]):
            expected = exact.round_exact(exact.element(batch, [*map(number, pair)]), format_of(DTYPES[name]))
            got = positions.round(pair)
            assert got == expected and math.copysign(1, got) == math.copysign(1, expected)


def test_the_root_of_a_square_is_rational():
    assert repr(number(Fraction(9, 4)).sqrt()) == "Exact(3/2)"
    assert repr(ExactChannel([[1]]).sqrt(4)) == "Exact(2)"


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, float])
def test_a_float_of_any_kind_is_the_number_that_it_is(kind):
    assert number(kind(0.1)).a == Fraction(float(kind(0.1)))


def test_a_float_is_rounded_once_too():
    assert float(round_to(1 + 2.0**-8 + 2.0**-40, DTYPES["bfloat16"])) == 1 + 2.0**-7  # in float32 it is a tie


def test_numbers_with_different_roots_do_not_mix():
    with pytest.raises(ArithmeticError, match=r"numbers with different square roots meet: sqrt\(2\) and sqrt\(3\)"):
        number(2).sqrt() + number(3).sqrt()


def test_an_exact_zero_divides_as_positive_zero_does():
    zero = number(0)
    assert (1 / zero).value == math.inf and (number(-1) / zero).value == -math.inf
    assert math.isnan((zero / zero).value) and math.isnan(number(-1).sqrt().value)
    infinity = 1 / zero
    assert (number(-2) * infinity).value == -math.inf and math.isnan((zero * infinity).value)
    assert (infinity + 5).value == math.inf and math.isnan((infinity - infinity).value)
    assert (1 / infinity).sign() == 0 and isinstance(infinity, NotFinite)
    assert exact.SCREENED is infinity + exact.SCREENED is infinity * exact.SCREENED is exact.SCREENED * infinity


def test_the_generated_program_runs_on_fractions():
    channel = ExactChannel([[1, 2, 3, 6]])
    x, = channel.operands
    y, mean, var, new_mean, new_var = programs.training(
        x, *map(number, (2, 1, 0, 1)), number(Fraction(1, 2)), number(Fraction(1, 10)), xp=channel
    )
    assert [value.a for value in (mean, var, new_mean, new_var)] == [3, Fraction(7, 2), Fraction(3, 10), Fraction(41, 30)]
    assert [value.a for value in channel.elements(y)] == [-1, 0, 1, 4]  # W = 4: all rational


def test_the_backward_program_runs_on_fractions():
    channel = ExactChannel([[1, 0, 0, 2], [1, 2, 3, 6]])
    dx, dweight, dbias = programs.backward(*channel.operands, number(1), number(Fraction(1, 2)), xp=channel)
    xhat = [-1, Fraction(-1, 2), 0, Fraction(3, 2)]
    assert dbias.a == 3 and dweight.a == 2
    expected = [Fraction(1, 2) * (g - Fraction(3, 4) - h * 2 / 4) for g, h in zip([1, 0, 0, 2], xhat)]
    assert [value.a for value in channel.elements(dx)] == expected


def test_an_operand_that_is_not_finite_screens_what_depends_on_it():
    channel = ExactChannel([[1.0, math.nan]])
    x, = channel.operands
    assert x is exact.SCREENED and exact.is_screened(channel.sum(x)) and exact.is_screened(1 - 2 * channel.sum(x))
    assert not exact.is_screened(channel.count(x))
    assert isinstance(number(2) + number(3), Exact)


class TestSumOfInfinities:
    """With the root of 0 in a denominator a sum is no combination of moments: it is added up as it is written."""

    @pytest.mark.parametrize("g, x, expected", [
        ([1.0, 2.0, 1e-300], [2.0, 3.0, 4.0], math.inf),
        ([1.0, -2.0, 1e-300], [2.0, -3.0, 4.0], math.inf),
        ([-1.0, -5e-324], [2.0, 1.0 + 2.0**-52], -math.inf),  # their product underflows in float64
        ([1.0, -1.0], [2.0, 3.0], math.nan),
        ([1.0, 0.0], [2.0, 3.0], math.nan),
        ([1.0, 1.0, 1.0], [2.0, 3.0, 1.0], math.nan),
        ([], [], 0.0),
    ])
    @pytest.mark.parametrize("tile", [1, 2, 1000])
    def test_it_is_that_of_the_extended_numbers(self, g, x, expected, tile, monkeypatch):
        monkeypatch.setattr("bnref.arithmetic.tiles.TILE", tile)
        leaves = [np.array(values).reshape(-1, 1) for values in (g, x)]
        for channel in (ExactChannel([g, x]), moments.TiledChannel(leaves, 0)):
            grad, values = channel.operands
            total = channel.sum(grad * (values - number(1)) / channel.sqrt(number(0)))
            value = total.value if isinstance(total, NotFinite) else float(total.a)
            assert value == expected or math.isnan(value) and math.isnan(expected)

    def test_products_of_operands_are_exact_in_it_and_in_what_is_rounded_position_by_position(self):
        small = np.array([[1 + 2.0**-30]])
        for channel in (ExactChannel([[small.item()]] * 2), moments.TiledChannel([small, small], 0)):
            x, g = channel.operands
            batch = (x * g - number(small.item() ** 2)) / number(0)  # 2**-60 is lost in float64
            assert channel.sum(batch).value == exact.Positions(batch, 2, format_of("float32")).round([small.item()] * 2) == math.inf

    def test_it_ends_where_it_is_not_a_number(self, monkeypatch):
        channel = ExactChannel([range(100)])
        looked_at = []
        monkeypatch.setattr(exact, "element", lambda batch, values, element=exact.element: looked_at.append(1) or element(batch, values))
        assert exact.is_nan(channel.sum((channel.operands[0] - number(3)) / number(0))) and len(looked_at) == 4

    def test_nan_is_seen_in_a_batch_value_that_depends_on_it(self):
        x, = ExactChannel([[1.0, 2.0]]).operands
        infinite = 1 / number(0)
        assert exact.is_nan(2 * (x - infinite * 0)) and not exact.is_nan(2 * (x - infinite)) and not exact.is_nan(number(math.nan))


def test_moments_of_the_longest_tile_of_full_limbs_are_exact():
    full = 2**moments.LIMB
    x = np.random.default_rng(3).integers(full // 2 - 2**8, full // 2, LONGEST) * 2 + 1
    x[0] -= 1  # an odd number of odd squares: the sum needs its last bit
    channel = moments.TiledChannel([x.reshape(1, 1, -1).astype(np.float64)], 0)
    assert len(channel.tiles) == 1
    assert channel.moment((0,)).a == int(x.sum()) and channel.moment((0, 0)).a == sum(int(v) ** 2 for v in x)


def test_moments_of_three_operands_are_those_of_their_channel():
    x = np.random.default_rng(4).normal(size=(5, 3))
    assert moments.TiledChannel([x], 1).moment((0, 0, 0)).a == sum(Fraction(float(v)) ** 3 for v in x[:, 1])


@pytest.mark.parametrize("s", [-1, 0, 1])
@pytest.mark.parametrize("p", [-5, -1, 0, 1, 3])
@pytest.mark.parametrize("e", [-7, 0, 4])
def test_a_quotient_is_rounded_down_at_every_place(p, s, e):
    value = exact.Quotient(p, s, 2 if s else 0, 3, e)
    true = (p + s * referee.root(Fraction(2))) / 3 * Fraction(2) ** e
    assert value.sign() == (true > 0) - (true < 0)
    for k in (-70, -3, 0, 1, 2, 5, 60):
        scaled = true * Fraction(2) ** k
        assert value.floor_scaled(k) == (math.floor(scaled), s == 0 and scaled.denominator == 1)
    assert number(Fraction(7, 3)).floor_scaled(2) == (9, False) and number(6).floor_scaled(-1) == (3, True)
