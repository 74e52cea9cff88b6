"""What a layer does when somebody has put something else in the place of its arrays and numbers."""

import numpy as np
import pytest

import bnref

from .hostile import NoFloat, Stubborn, ml_dtypes

X = np.arange(12, dtype=np.float32).reshape(4, 3)


def arrays(bn):
    return {name: array.tolist() for name, array in bn.state_dict().items()}


def test_a_cumulative_average_over_fewer_batches_than_none_is_refused():
    bn = bnref.torch.BatchNorm1d(3, momentum=None)
    bn.num_batches_tracked[...] = -1
    before = arrays(bn)
    with pytest.raises(ValueError, match="num_batches_tracked: -1; allowed: 0 or more, for a cumulative average"):
        bn(X)
    assert arrays(bn) == before


def test_a_count_of_another_integer_type_keeps_it_and_wraps_as_pytorchs_does():
    bn = bnref.torch.BatchNorm1d(3)
    bn.num_batches_tracked = np.array(255, np.uint8)
    bn(X)
    assert bn.num_batches_tracked.dtype == np.uint8 and bn.num_batches_tracked == 0


def test_without_a_count_a_layer_does_not_count_and_an_average_stays_put():
    bn = bnref.torch.BatchNorm1d(3, momentum=None)
    bn.num_batches_tracked = None
    bn(X)
    assert bn.num_batches_tracked is None and bn.running_mean.tolist() == [0, 0, 0] and bn.running_var.tolist() == [1, 1, 1]


@pytest.mark.parametrize("attribute", ["eps", "momentum"])
def test_a_number_by_name_alone_is_refused(attribute):
    bn = bnref.torch.BatchNorm1d(3)
    setattr(bn, attribute, NoFloat())
    with pytest.raises(TypeError, match=attribute):
        bn(X)


def test_an_error_that_cannot_say_what_it_is_is_named_by_its_class():
    class Silent(Stubborn):
        def __str__(self):
            raise self

    class Array:
        def __array__(self, *args, **kwargs):
            raise Silent

    with pytest.raises(TypeError, match=r"input: a Array that NumPy cannot read \(Silent\); allowed"):
        bnref.batch_norm(Array(), training=True)


def test_a_state_loaded_from_the_layers_own_arrays_under_other_names_is_what_they_were():
    bn = bnref.torch.BatchNorm1d(2)
    bn.weight[...], bn.bias[...] = [1, 2], [3, 4]
    bn.load_state_dict(bn.state_dict() | {"weight": bn.bias, "bias": bn.weight})
    assert bn.weight.tolist() == [3, 4] and bn.bias.tolist() == [1, 2]


def test_a_read_only_array_of_the_layer_lets_no_other_be_loaded():
    bn = bnref.torch.BatchNorm1d(2)
    bn.running_var.flags.writeable = False
    before = arrays(bn)
    with pytest.raises(ValueError, match="state_dict: a read-only array"):
        bn.load_state_dict({name: array + 1 for name, array in bn.state_dict().items()})
    assert arrays(bn) == before


def test_values_that_the_layers_dtype_does_not_hold_become_infinite_without_a_warning():
    bn = bnref.torch.BatchNorm1d(2)
    bn.load_state_dict(bn.state_dict() | {"weight": np.array([1e300, -1e300])})
    assert bn.weight.tolist() == [np.inf, -np.inf]
    assert bnref.mindspore.BatchNorm1d(2, gamma_init=1e300).gamma.tolist() == [np.inf, np.inf]


def test_a_layer_of_bfloat16_by_name_has_arrays_of_ml_dtypes_bfloat16():
    assert bnref.torch.BatchNorm1d(2, dtype="bfloat16").weight.dtype == ml_dtypes.bfloat16
    assert bnref.mindspore.BatchNorm1d(2, dtype="bfloat16").gamma.dtype == ml_dtypes.bfloat16
