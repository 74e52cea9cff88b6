"""The lemmas of extraction.py, against fractions; some hold for plain.py as well."""

from fractions import Fraction

import numpy as np
import pytest

from bnref.arithmetic import extraction, plain
from bnref.arithmetic.ball_batch import Balls
from bnref.arithmetic.plain import PlainSums
from bnref.arithmetic.scratch import Scratch
from bnref.arithmetic.tiles import LONGEST, tiles

from . import data, referee
from .test_double_double import exact

RNG = np.random.default_rng(5)


def moments_of(x, limbs, monomials, other=None):
    leaves = [x] if other is None else [x, other]
    grids = [extraction.Grid(leaf, 0, x.shape[1]) for leaf in leaves]
    if limbs:
        sums = extraction.Sums(leaves, grids, 0, x.shape[1], limbs, Scratch())
    else:
        sums = PlainSums(leaves, [grid.pivot for grid in grids], 0, x.shape[1], Scratch())
    for monomial in monomials:
        hi, lo, radius = np.broadcast_arrays(*sums.moment(monomial))
        for c in range(x.shape[1]):
            truth = Fraction(0)
            for values in zip(*(referee.fractions(leaves[k][:, c]) for k in monomial)):
                product = Fraction(1)
                for k, value in zip(monomial, values):
                    product *= value - Fraction(float(grids[k].pivot[c]))
                truth += product
            value = Fraction(float(hi[c])) + Fraction(float(lo[c]))
            yield value, truth, float(radius[c])


@pytest.mark.parametrize("limbs", [0, 1, 2, 3])
@pytest.mark.parametrize("wide", [1, 32])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", data.CLASSES)
def test_moments_lie_within_their_radius(name, dtype, limbs, wide, monkeypatch):
    monkeypatch.setattr("bnref.arithmetic.tiles.WIDE", wide)
    x = data.CLASSES[name](np.random.default_rng(1), dtype).x
    for value, truth, radius in moments_of(x, limbs, [(0,), (0, 0)]):
        assert abs(value - truth) <= radius


@pytest.mark.parametrize("limbs", [0, 1, 3])
def test_moments_whose_squares_underflow_lie_within_their_radius(limbs):
    x = RNG.normal(size=(40, 2)) * 2.0**-540
    for value, truth, radius in moments_of(x, limbs, [(0,), (0, 0)]):
        assert abs(value - truth) <= radius


@pytest.mark.parametrize("scale", [1.0, 2.0**-20, 2.0**-100])
@pytest.mark.parametrize("limbs", [0, 1, 2])
def test_moments_of_many_tiles_with_an_outlier_lie_within_a_small_radius(limbs, scale, monkeypatch):
    monkeypatch.setattr("bnref.arithmetic.tiles.TILE", 256)
    monkeypatch.setattr("bnref.arithmetic.tiles.SHORTEST", 64)
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(500, 2, 3)) + 1e4) * scale
    x[301, 1, 0] = 1e9 * scale
    g = (rng.normal(size=x.shape) * scale).astype("float32")
    g[77, 0, 1] = 1e7 * scale
    assert len(list(tiles(x.shape, 0, 2))) > 10
    monomials = [(0,), (1,), (0, 0), (0, 1), (1, 1)]
    for k, (value, truth, radius) in enumerate(moments_of(x, limbs, monomials, g)):
        size = 1500 * scale ** len(monomials[k // x.shape[1]])
        assert abs(value - truth) <= radius <= 2.0**-40 * max(abs(truth), size)


@pytest.mark.parametrize("limbs", [1, 2, 3])
def test_moments_that_cancel_lie_within_their_radius(limbs):
    x, g = RNG.integers(-99, 99, (2, 99, 2)).astype(float)
    x[50:] = RNG.normal(size=(49, 2)) * 2.0**-90  # far below all limbs, and nothing in those but the first
    order = RNG.permutation(198)
    opposite = np.concatenate([x, -x])[order], np.concatenate([g, g])[order]
    for operands in (opposite, opposite[::-1]):
        for value, truth, radius in moments_of(operands[0], limbs, [(0, 1)], operands[1]):
            assert abs(value - truth) <= radius


@pytest.mark.parametrize("limbs", [1, 2, 3])
def test_moments_are_as_sharp_for_small_data_as_for_large_ones(limbs):
    x, power = RNG.normal(size=(500, 2)) + [0, 7], 2.0**-100
    for (value, _, radius), (small, _, small_radius) in zip(*(moments_of(batch, limbs, [(0,)]) for batch in (x, x * power))):
        assert small == value * Fraction(power) and small_radius == radius * power


def test_the_radius_of_a_sum_is_no_larger_than_the_lemma_has_it_for_a_rest_of_one_grid_step_each():
    x = RNG.normal(size=(500, 2))
    grid = extraction.Grid(x, 0, 2)
    radius = extraction.Sums([x], [grid], 0, 2, 1, Scratch()).moment((0,))[2]
    assert (radius <= (2 * (500 + 2) + 17) * 2.0**-53 * 500 * grid.q * (1 + 2.0**-20)).all()


def test_a_sample_has_the_mean_and_the_spread_of_all_values_if_they_are_few_and_means_near_0_get_the_pivot_0():
    x = np.concatenate([RNG.normal(size=(8, 3, 2, 4)) + 5, np.tile([[[[1.0]]] * 3, [[[3.0]]] * 3], (4, 1, 2, 4))], axis=1)
    grid = extraction.Grid(x, 1, 5)
    np.testing.assert_allclose(grid.mean, x[:, 1:5].mean(axis=(0, 2, 3)), rtol=1e-14)
    np.testing.assert_allclose(grid.spread, x[:, 1:5].std(axis=(0, 2, 3)), rtol=1e-14)
    assert grid.mean[2:].tolist() == [2, 2] and grid.spread[2:].tolist() == [1, 1]
    assert (grid.pivot == 0).tolist() == [False, False, True, True]  # as near as that, and no nearer


@pytest.mark.parametrize("shape", [(1000, 2), (100, 2, 3), (9, 2, 500), (2, 2, 7, 50), (1, 2, 65), (65, 2, 1, 1), (3, 2, 40, 40)])
def test_a_sample_is_taken_from_all_over_the_data_and_not_larger_than_it_should_be(shape):
    index = np.indices(shape)
    for axis in (0, *range(2, len(shape))):
        sample = extraction.Grid(index[axis].astype(float), 0, 2).sample
        assert extraction.SAMPLE / 4 <= len(sample) <= extraction.SAMPLE and (sample[:, 0] == sample[:, 1]).all()
    first = extraction.Grid(index[0].astype(float), 0, 2)
    reached = first.sample[:, 0].max() + first.mean[0]
    assert reached >= (shape[0] - 1) / 2  # rows of the second half, too


def test_a_pivot_is_the_mean_of_the_sample_on_the_grid_or_the_value_of_a_constant_channel():
    x = RNG.normal(size=(64, 4)) * [1, 1e-3, 0, 1] + [100, -7, 0.1, 1]
    grid = extraction.Grid(x, 0, 4)
    assert (grid.pivot[:2] % grid.q[:2] == 0).all() and (abs(grid.pivot - grid.mean)[:2] <= grid.q[:2] / 2).all()
    assert grid.pivot[2:].tolist() == [0.1, 0]


def test_a_sample_suggests_how_far_off_values_are_and_more_so_the_longer_its_tails_are():
    x = np.stack([np.full(64, 7.0), np.tile([1.0, 3.0], 32), np.where(np.arange(64) == 5, -64.0, 0.0)], axis=1)
    np.testing.assert_allclose(extraction.Grid(x * 3, 0, 3).extent, [0, 6, 6 * 63**1.5])
    xp = Balls([x], 0, 3, 1, Scratch())
    np.testing.assert_allclose(((xp.operands()[0] - 1) * -3 + 2).guess(), [16, 7, 8 + 6 * 63**1.5])
    assert (xp.operands()[0] * xp.operands()[0]).guess() is None


@pytest.mark.parametrize("mean", [0.0, 1.9, 30.0, -1e6])
@pytest.mark.parametrize("limbs", [1, 3])
def test_the_grid_that_a_sample_suggests_fits_data_that_are_alike_and_needs_no_second_look(limbs, mean):
    x = np.random.default_rng(0).normal(size=(500, 40)) + mean
    grid = extraction.Grid(x, 0, 40)
    suggested = grid.q.copy()
    extraction.Sums([x], [grid], 0, 40, limbs, Scratch())
    assert (grid.q == suggested).all()


@pytest.mark.parametrize("wide", [1, 32])
@pytest.mark.parametrize("limbs", [1, 3])
def test_a_grid_is_made_as_coarse_as_the_sum_of_squares_needs_and_no_coarser(limbs, wide, monkeypatch):
    monkeypatch.setattr("bnref.arithmetic.tiles.WIDE", wide)
    x = np.random.default_rng(0).normal(size=(500, 40)) + np.resize([0.0, 1e3], 40)
    x[77] *= 1e6
    grid = extraction.Grid(x, 0, 40)
    suggested = grid.q.copy()
    sums = extraction.Sums([x], [grid], 0, 40, limbs, Scratch())
    norm = np.sqrt(np.einsum("nc,nc->c", x - grid.pivot, x - grid.pivot))
    assert (grid.q > suggested).all() and (2.0**-26 * norm <= grid.q).all() and (grid.q <= 2.0**-24 * norm).all()
    assert np.isfinite(sums.moment((0, 0))[2]).all()


@pytest.mark.parametrize("wide", [1, 32])
def test_only_the_channels_whose_grid_is_too_fine_are_looked_at_again(wide, monkeypatch):
    monkeypatch.setattr("bnref.arithmetic.tiles.WIDE", wide)
    x = np.random.default_rng(0).normal(size=(500, 40))
    x[77, 3::7] *= 1e6
    grid, looks, sums_ = extraction.Grid(x, 1, 40), [], extraction.Sums._sums
    suggested = grid.q.copy()

    def sums(self, tile, channels, loaded, grids):
        looks.append(sorted(np.arange(39)[channels]))
        return sums_(self, tile, channels, loaded, grids)

    monkeypatch.setattr(extraction.Sums, "_sums", sums)
    moments = extraction.Sums([x], [grid], 1, 40, 2, Scratch())
    coarser = [*range(2, 39, 7)]
    assert looks == [[*range(39)], coarser] and np.flatnonzero(grid.q > suggested).tolist() == coarser
    hi, lo, radius = moments.moment((0, 0))
    for c in range(39):
        deviations = [Fraction(value) - Fraction(grid.pivot[c]) for value in x[:, c + 1].tolist()]
        truth = sum(deviation * deviation for deviation in deviations)
        assert abs(Fraction(hi[c]) + Fraction(lo[c]) - truth) <= Fraction(radius[c]) <= 2.0**-70 * truth


@pytest.mark.parametrize("limbs", [0, 1, 3])
def test_moments_of_some_channels_are_theirs_and_not_finite_data_spoil_one_alone(limbs):
    x = RNG.normal(size=(30, 5))
    x[3, 3] = np.inf
    with np.errstate(all="ignore"):
        grid = extraction.Grid(x, 2, 5)
        sums = extraction.Sums([x], [grid], 2, 5, limbs, Scratch()) if limbs else PlainSums([x], [grid.pivot], 2, 5, Scratch())
        hi, lo, radius = sums.moment((0, 0))
    assert np.isfinite(radius).tolist() == [True, False, True]
    for c in (0, 2):
        truth = sum((v - Fraction(float(grid.pivot[c]))) ** 2 for v in referee.fractions(x[:, c + 2]))
        assert abs(exact(hi[c : c + 1], np.broadcast_to(lo, 3)[c : c + 1])[0] - truth) <= Fraction(float(radius[c]))


def test_sums_beyond_the_premise_of_the_lemma_are_not_taken_for_exact():
    x = np.array([[2.0**26], [2.0**26], [1.0]])  # the squares add up to 2**53 + 1
    grid = extraction.Grid(x, 0, 1)
    grid.pivot, grid.q = np.zeros(1), np.ones(1)
    hi, lo, radius = extraction.Sums([x], [grid], 0, 1, 1, Scratch()).moment((0, 0))
    assert abs(2**53 + 1 - exact(hi, lo)[0]) <= Fraction(float(radius[0]))


@pytest.mark.parametrize("limbs", [1, 2, 3])
def test_nothing_is_known_where_the_premise_of_the_lemma_fails_in_spite_of_a_coarser_grid(limbs, monkeypatch):
    monkeypatch.setattr(extraction.Grid, "fitting", lambda grid, spread, longest, channels=slice(None): np.ones(3)[channels])
    x = np.array([[3.0, 2.0**26, 5.0]] * 2 + [[1.0] * 3])
    sums = extraction.Sums([x], [extraction.Grid(x, 0, 3)], 0, 3, limbs, Scratch())
    for monomial in ((0,), (0, 0)):
        assert np.isfinite(sums.moment(monomial)[2]).tolist() == [True, False, True]


@pytest.mark.parametrize("exponent", [506, 530])
@pytest.mark.parametrize("limbs", [1, 2, 3])
def test_nothing_is_known_where_squares_overflow(limbs, exponent):
    x = RNG.normal(size=(3000, 2)) * [2.0**exponent, 1]
    x[1234, 0] = 2.0 ** (exponent + 50)  # not in the sample: the grid that this suggests is far too fine
    with np.errstate(all="ignore"):
        sums = extraction.Sums([x], [extraction.Grid(x, 0, 2)], 0, 2, limbs, Scratch())
        for monomial in ((0,), (0, 0)):
            assert np.isfinite(sums.moment(monomial)[2]).tolist() == [False, True]


@pytest.mark.parametrize("limbs", [0, 1, 2, 3])
@pytest.mark.parametrize("few", [1, 9])  # values that are so small
def test_moments_of_large_values_and_of_such_whose_squares_underflow_lie_within_their_radius(limbs, few, monkeypatch):
    monkeypatch.setattr(plain, "FEW", 0)
    x = RNG.normal(size=(300, 4)) * 2.0**400
    g = RNG.normal(size=(300, 4)) * 2.0 ** RNG.uniform(-640, -560, (300, 4))
    x[few:, 1], g[few:, 1:3] = 2.0**-300, 2.0**-300
    for value, truth, radius in [*moments_of(x, limbs, [(0, 1)], g), *moments_of(g, limbs, [(0,), (0, 1), (0, 0)], x)]:
        assert abs(value - truth) <= radius


@pytest.mark.parametrize("limbs", [1, 3])
def test_what_may_underflow_in_a_channel_counts_there(limbs):
    x = np.stack([np.tile([1, -1], 20) * 2.0**-540, np.ones(40)], axis=1)
    n, u, tiny = 40, 2.0**-53, 2.0**-1074
    for monomial, norms, times in [((0,), n * tiny**0.5, 1), ((0, 0), n * tiny, (limbs + 1) ** 2)]:
        radius = extraction.Sums([x], [extraction.Grid(x, 0, 2)], 0, 2, limbs, Scratch()).moment(monomial)[2]
        assert radius[1] == 0 and radius[0] >= (2 * (n + 2) + 17) * u * norms + times * n * tiny
        assert radius[0] <= (2 * (n + 2) + 17) * u * norms * (1 + 2.0**-20) + 16 * n * tiny


def test_moments_of_integers_are_exact_and_known_to_be():
    x = RNG.integers(-50, 50, (800, 3)).astype("float32")
    for value, truth, radius in moments_of(x, 1, [(0,)]):
        assert value == truth and radius == 0


def test_limbs_after_the_first_are_as_wide_as_the_premise_of_the_lemma_allows():
    for longest in range(1, LONGEST + 1):
        bits = extraction.narrower(longest)
        assert longest <= 2.0 ** (52 - 2 * bits)  # what is left of a value and of its pivot is half a step of the grid each
        assert longest > 2.0 ** (52 - 2 * (bits + 2))


@pytest.mark.parametrize("operands", [1, 2])
@pytest.mark.parametrize("longest", [100, 1000])
def test_the_radius_of_a_sum_is_that_of_the_lemma(longest, operands, monkeypatch):
    monkeypatch.setattr("bnref.arithmetic.tiles.LONGEST", longest)
    monkeypatch.setattr(extraction, "LONGEST", longest)
    n, u, count = 300, 2.0**-53, -(-300 // longest)
    leaves = [np.tile(RNG.normal(size=(n, 1)), 3) for _ in range(operands)]
    grids = [extraction.Grid(leaf, 0, 3) for leaf in leaves]
    sums = extraction.Sums(leaves, grids, 0, 3, 1, Scratch())
    leaves = [leaf[:, 0] for leaf in leaves]  # the other channels are the same
    rests = [leaf - np.rint(leaf / grid.q[0]) * grid.q[0] for leaf, grid in zip(leaves, grids)]
    norm = [[float(np.sqrt((part**2).sum())) for part in pair] for pair in zip(leaves, rests)]
    units = (2 * (min(longest, n) + 2) + 16 + count) * u
    np.testing.assert_allclose(sums.moment((0,))[2], units * n**0.5 * norm[0][1], rtol=1e-3)
    i, j = 0, operands - 1
    bound = units * (norm[i][0] * norm[j][1] + norm[i][1] * norm[j][0] + norm[i][1] * norm[j][1])
    np.testing.assert_allclose(sums.moment((i, j))[2], bound, rtol=1e-3)


def test_the_radius_of_exact_sums_of_many_tiles_is_that_of_adding_up_what_adding_them_loses(monkeypatch):
    monkeypatch.setattr("bnref.arithmetic.tiles.LONGEST", 4)
    monkeypatch.setattr(extraction, "LONGEST", 4)
    x, count = np.rint(RNG.uniform(-(2.0**25), 2.0**25, (256, 1))), 64
    grid = extraction.Grid(x, 0, 1)
    grid.q = np.ones(1)
    sums = extraction.Sums([x], [grid], 0, 1, 1, Scratch())
    total, lost = 0.0, Fraction(0)
    for tile in (x.reshape(count, 4) ** 2).sum(axis=1).tolist():
        lost += abs(Fraction(total) + Fraction(tile) - Fraction(total + tile))
        total += tile
    hi, lo, radius = sums.moment((0, 0))
    assert Fraction(hi[0]) + Fraction(lo[0]) == sum(Fraction(value) ** 2 for value in x[:, 0]) != Fraction(total)
    np.testing.assert_allclose(radius, 2 * count * 2.0**-53 * float(lost), rtol=1e-9)
