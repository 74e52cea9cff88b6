"""Tiles: views of the arrays, whatever their layout."""

import numpy as np
import pytest

import bnref
from bnref.arithmetic import evaluation
from bnref.arithmetic.tiles import FEW, Tile, merge_spatial_axes, of_channels, set_places, tiles

BASE = np.arange(2 * 3 * 4 * 5 * 6.0).reshape(2, 3, 4, 5, 6)


def cut_into(monkeypatch, tile, shortest, longest):
    """Cut arrays into tiles of so many values, and of so many of a channel."""
    for name, value in {"TILE": tile, "SHORTEST": shortest, "LONGEST": longest}.items():
        monkeypatch.setattr(f"bnref.arithmetic.tiles.{name}", value)


@pytest.mark.parametrize("array, merged", [
    (BASE, True), (BASE[:, :, 1], True), (BASE[..., :1], True), (BASE[:, :, ::2], False), (BASE[..., ::2], True),
    (BASE[..., 1:], False), (BASE[:, :, :, :1], False), (BASE[:, :, :, :1, ::2], False), (BASE[:, :, :, :1, :1], True),
    (BASE.transpose(0, 1, 3, 2, 4), False), (BASE.transpose(1, 0, 2, 3, 4), True), (np.asfortranarray(BASE), False),
    (BASE[..., ::-1], False), (BASE[:, :, ::-1, ::-1, ::-1], True), (BASE[:0, :, :, ::2, 1:], True),
])
def test_spatial_axes_are_made_one_exactly_where_nothing_has_to_be_copied_for_that(array, merged):
    for other in (BASE, array):
        result = merge_spatial_axes([other, array])[1]
        assert result.ndim == (3 if merged else array.ndim)
        assert np.array_equal(result.reshape(array.shape), array)
        assert not array.size or np.shares_memory(result, array)


@pytest.mark.parametrize("shape", [(50, 7), (50, 40), (3, 9, 11), (20, 5, 4, 6), (2, 3, 100), (9, 30, 1, 1), (1, 2, 3, 50)])
@pytest.mark.parametrize("start, stop", [(0, 2), (1, None)])
@pytest.mark.parametrize("share, whole", [(1, False), (3, False), (1, True), (3, True)])
def test_each_value_lies_in_one_tile_and_tiles_are_as_long_and_as_large_as_they_may_be(shape, start, stop, share, whole, monkeypatch):
    cut_into(monkeypatch, share * 200, 30, 60)
    stop = stop or shape[1]
    array, seen = np.arange(np.prod(shape, dtype=float)).reshape(shape), np.zeros(shape, int)
    for tile in tiles(shape, start, stop, share, whole):
        seen[tile.cut] += 1
        loaded = tile.load(array)
        channels, length = loaded.shape[:: 1 if tile.axis else -1]
        assert channels == tile.channels.stop - tile.channels.start and (whole or length <= 60)
        inside = array[:, start + tile.channels.start : start + tile.channels.stop]
        assert np.isin(loaded, inside).all() and (tile.axis == 0 or loaded.size <= 200)
    assert (seen[:, start:stop] == 1).all() and seen.sum() == seen[:, start:stop].sum()


@pytest.mark.parametrize("shape, share, part, rest", [
    ((8, 64, 3136), 1, (1, 64, 1568), None), ((8, 64, 3136), 2, (1, 32, 1568), None), ((5, 65, 1600), 1, (1, 33, 1600), (1, 32, 1600)),
    ((64, 256, 1024), 1, (1, 64, 1024), None), ((32, 64, 224), 1, (7, 64, 224), (4, 64, 224)), ((7, 10, 7, 700), 1, (2, 10, 7, 700), (1, 10, 7, 700)),
    ((2, 1, 10**5), 1, (1, 1, 25000), None), ((3, 20, 5), 1, (3, 20, 5), None), ((4, 4000, 10), 1, (4, 2000, 10), None),
    ((3, 64, 2, 3136), 1, (1, 64, 1, 1568), None), ((2, 64, 4, 5, 196), 1, (1, 64, 1, 5, 196), None), ((4096, 31), 1, (2048, 31), None),
    ((4096, 1024), 1, (98, 1024), (78, 1024)), ((4096, 1024), 2, (49, 1024), (29, 1024)), ((3000, 2500), 1, (79, 1250), (77, 1250)),
    ((100, 4096), 1, (34, 2048), (32, 2048)), ((100, 4098), 1, (50, 1366), None), ((7000, 32), 1, (2334, 32), (2332, 32)),
])
def test_tiles_are_few_and_alike(shape, share, part, rest, **options):
    """Whatever channels are before them, and after."""
    more = (shape[0], shape[1] + 9, *shape[2:])
    found = list(tiles(more, 5, shape[1] + 5, share, **options))
    shapes = [tuple(cut.stop - cut.start for cut in tile.cut) for tile in found]
    assert shapes[0] == part and shapes[-1] == (rest or part)
    assert len(shapes) == np.prod([-(-size // length) for size, length in zip(shape, part)])
    assert all(tile.axis == (0 if len(shape) == 2 and shape[1] >= 32 else 1) for tile in found)


@pytest.mark.parametrize("shape, share, part, rest", [
    ((8, 64, 3136), 1, (1, 32, 3136), None), ((8, 64, 3136), 2, (1, 16, 3136), None), ((8, 60, 12544), 1, (1, 8, 12544), (1, 4, 12544)),
    ((64, 256, 1024), 1, (1, 64, 1024), None), ((32, 64, 224), 1, (7, 64, 224), (4, 64, 224)), ((3, 64, 2, 3136), 1, (1, 16, 2, 3136), None),
    ((2, 3, 10**5), 1, (1, 1, 10**5), None), ((2, 3, 10**6), 1, (1, 1, 10**5), None), ((2, 4, 3, 70000), 1, (1, 1, 1, 70000), None),
    ((4, 4000, 10), 1, (4, 2000, 10), None), ((4096, 31), 1, (2048, 31), None), ((4096, 1024), 1, (98, 1024), (78, 1024)),
])
def test_tiles_that_are_to_lie_in_one_piece_have_fewer_channels_where_samples_are_long(shape, share, part, rest):
    test_tiles_are_few_and_alike(shape, share, part, rest, whole=True)


@pytest.mark.parametrize("order, whole", [((0, 1, 2), True), ((1, 0, 2), True), ((0, 2, 1), False), ((2, 0, 1), False), ((2, 1, 0), False)])
@pytest.mark.parametrize("step", [(1, 1), (1, -1), (-1, 1)])
def test_results_are_rounded_by_whole_samples_where_a_channel_of_these_lies_in_one_piece(order, step, whole, monkeypatch):
    """Elsewhere many channels are read together. order: of the axes, as they lie in memory; the last two forwards or backwards."""
    seen, shape = [], (3, 4, 5)

    def watched(*arguments):
        seen.append(arguments[4])
        return tiles(*arguments)

    monkeypatch.setattr(evaluation, "tiles", watched)
    x = np.empty([shape[axis] for axis in order]).transpose(np.argsort(order))[:, :: step[0], :: step[1]]
    x[...] = np.random.default_rng(3).normal(size=shape)
    assert np.array_equal(bnref.batch_norm(x, training=True).output, bnref.batch_norm(x.copy("C"), training=True).output)
    assert seen == [whole, True]


@pytest.mark.parametrize("shape", [(50, 7), (50, 40), (3, 9, 11), (20, 5, 4, 6), (9, 30, 1, 1), (9, 40, 1, 1)])
def test_places_in_many_tiles_are_found_in_the_array_in_their_order(shape, monkeypatch):
    cut_into(monkeypatch, 200, 30, 60)
    rng, array = np.random.default_rng(1), np.arange(np.prod(shape, dtype=float)).reshape(shape)
    for found, few in (([*tiles(shape, 1, shape[1])], 3), ([*tiles(shape, 1, shape[1])][-1:], 60)):
        inside = [rng.permutation(tile.part(array).size)[:few] for tile in found]
        expected = np.concatenate([tile.part(array).ravel()[each] for tile, each in zip(found, inside)])
        indices = tuple(np.concatenate(axis) for axis in zip(*(tile.indices(each) for tile, each in zip(found, inside))))
        assert np.array_equal(array[indices], expected) and len(expected) > 2


@pytest.mark.parametrize("channels", [slice(0, 1), slice(1, 2), slice(0, 2), slice(1, 4)])
def test_numbers_are_spread_over_the_channels_of_a_tile_or_one_over_all(channels):
    for numbers in (np.arange(2.0), np.arange(7.0)):
        own = numbers[channels]
        for axis, shape in ((0, (len(own),)), (1, (len(own), 1))):
            tile = Tile((slice(0, 3), channels), channels, axis)
            assert np.array_equal(of_channels(numbers, tile.channels), own)
            for spread in (tile.spread(numbers), tile.column(own)):
                assert spread.shape == shape and np.array_equal(spread.ravel(), own)
            assert of_channels(np.array([5.0]), tile.channels).tolist() == [5] == tile.spread(np.array([5.0])).ravel().tolist()


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(6, 5000), (120, 2100), (3, 40, 50), (4, 3, 9, 11), (700, 2), (2, 3, 900)])
def test_however_arrays_are_cut_the_results_are_the_same(shape, dtype, monkeypatch):
    rng = np.random.default_rng(3)
    x, g = (rng.standard_normal(shape).astype(dtype) + mean for mean in np.array([8, 0], dtype))
    running_mean, weight, bias = (rng.standard_normal(shape[1]).astype(dtype) for _ in range(3))
    running_var = rng.uniform(0.5, 2, shape[1]).astype(dtype)

    def results():
        found = [*bnref.batch_norm(x, running_mean, running_var, weight, bias, training=True),
                 bnref.batch_norm(x, running_mean, running_var, weight, bias).output,
                 *bnref.batch_norm_backward(g, x, weight=weight, training=True)]
        return [result.tobytes() for result in found]

    expected = results()
    for tile, shortest, longest in ((600, 30, 60), (2000, 100, 100), (77, 5, 1000)):
        cut_into(monkeypatch, tile, shortest, longest)
        assert results() == expected


@pytest.mark.parametrize("count", [0, 1, 2, FEW, FEW + 1, 100])
def test_flags_that_are_set_are_found_in_their_order(count):
    for places in (np.arange(count), np.arange(100 - count, 100), np.sort(np.random.default_rng(count).permutation(100)[:count])):
        flags = np.zeros(100, bool)
        flags[places] = True
        for shape in ((100,), (5, 20), (4, 1, 25)):
            found = set_places(flags.reshape(shape))
            assert np.array_equal(found, places) and found.dtype == np.intp
