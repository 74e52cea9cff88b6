"""Tiles: views of the arrays, whatever their layout."""

import numpy as np
import pytest

from bnref.arithmetic.tiles import merge_spatial_axes

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
