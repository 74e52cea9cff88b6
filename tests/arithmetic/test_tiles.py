"""Tiles: views of the arrays, whatever their layout."""

import numpy as np
import pytest

from bnref.arithmetic.tiles import FEW, merge_spatial_axes, set_places, tiles

BASE = np.arange(2 * 3 * 4 * 5 * 6.0).reshape(2, 3, 4, 5, 6)


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
@pytest.mark.parametrize("share", [1, 3])
def test_each_value_lies_in_one_tile_and_tiles_are_as_long_and_as_large_as_they_may_be(shape, start, stop, share, monkeypatch):
    for name, value in {"TILE": share * 200, "SHORTEST": 30, "LONGEST": 60, "WIDE": 32}.items():
        monkeypatch.setattr(f"bnref.arithmetic.tiles.{name}", value)
    stop = stop or shape[1]
    array, seen = np.arange(np.prod(shape, dtype=float)).reshape(shape), np.zeros(shape, int)
    for tile in tiles(shape, start, stop, share):
        seen[tile.cut] += 1
        loaded = tile.load(array)
        channels, length = loaded.shape[:: 1 if tile.axis else -1]
        assert channels == tile.channels.stop - tile.channels.start and length <= 60
        inside = array[:, start + tile.channels.start : start + tile.channels.stop]
        assert np.isin(loaded, inside).all() and (tile.axis == 0 or loaded.size <= 200)
    assert (seen[:, start:stop] == 1).all() and seen.sum() == seen[:, start:stop].sum()


@pytest.mark.parametrize("count", [0, 1, 2, FEW, FEW + 1, 100])
def test_flags_that_are_set_are_found_in_their_order(count):
    for places in (np.arange(count), np.arange(100 - count, 100), np.sort(np.random.default_rng(count).permutation(100)[:count])):
        flags = np.zeros(100, bool)
        flags[places] = True
        found = set_places(flags, count)
        assert np.array_equal(found, places) and found.dtype == np.intp
