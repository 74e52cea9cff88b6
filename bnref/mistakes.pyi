"""Wrong formulas that real implementations contain, for `bnref.testing` to recognise.

GENERATED from the notebooks: do not edit; change a chapter and run "make export".
Arrays have their channels last; `xp` supplies sum (over all axes but the last), count and sqrt.
"""

from .typing import Batch, Channel, NumberSystem, Scalar

__all__ = [
    "backward_mean_detached",
    "backward_var_detached",
    "backward_weight_missing",
    "backward_sums_not_divided",
    "normalize_unbiased",
    "normalize_eps_outside",
    "update_biased",
    "backward_unbiased",
    "backward_eps_outside",
    "backward_var_rebuilt",
]

def backward_mean_detached(
    grad_output: Batch,
    x: Batch,
    mean: Channel | Scalar,
    var: Channel | Scalar,
    weight: Channel | Scalar,
    eps: Channel | Scalar,
    *,
    xp: NumberSystem[Batch, Channel],
) -> tuple[Batch, Channel, Channel]: ...

def backward_var_detached(
    grad_output: Batch,
    x: Batch,
    mean: Channel | Scalar,
    var: Channel | Scalar,
    weight: Channel | Scalar,
    eps: Channel | Scalar,
    *,
    xp: NumberSystem[Batch, Channel],
) -> tuple[Batch, Channel, Channel]: ...

def backward_weight_missing(
    grad_output: Batch,
    x: Batch,
    mean: Channel | Scalar,
    var: Channel | Scalar,
    weight: Channel | Scalar,
    eps: Channel | Scalar,
    *,
    xp: NumberSystem[Batch, Channel],
) -> tuple[Batch, Channel, Channel]: ...

def backward_sums_not_divided(
    grad_output: Batch,
    x: Batch,
    mean: Channel | Scalar,
    var: Channel | Scalar,
    weight: Channel | Scalar,
    eps: Channel | Scalar,
    *,
    xp: NumberSystem[Batch, Channel],
) -> tuple[Batch, Channel, Channel]: ...

def normalize_unbiased(
    x: Batch,
    mean: Channel | Scalar,
    var: Channel | Scalar,
    weight: Channel | Scalar,
    bias: Channel | Scalar,
    eps: Channel | Scalar,
    *,
    xp: NumberSystem[Batch, Channel],
) -> Batch: ...

def normalize_eps_outside(
    x: Batch,
    mean: Channel | Scalar,
    var: Channel | Scalar,
    weight: Channel | Scalar,
    bias: Channel | Scalar,
    eps: Channel | Scalar,
    *,
    xp: NumberSystem[Batch, Channel],
) -> Batch: ...

def update_biased(
    running_mean: Channel,
    running_var: Channel,
    mean: Channel,
    var: Channel,
    momentum: Channel | Scalar,
    *,
    xp: object,
) -> tuple[Channel, Channel]: ...

def backward_unbiased(
    grad_output: Batch,
    x: Batch,
    mean: Channel | Scalar,
    var: Channel | Scalar,
    weight: Channel | Scalar,
    eps: Channel | Scalar,
    *,
    xp: NumberSystem[Batch, Channel],
) -> tuple[Batch, Channel, Channel]: ...

def backward_eps_outside(
    grad_output: Batch,
    x: Batch,
    mean: Channel | Scalar,
    var: Channel | Scalar,
    weight: Channel | Scalar,
    eps: Channel | Scalar,
    *,
    xp: NumberSystem[Batch, Channel],
) -> tuple[Batch, Channel, Channel]: ...

def backward_var_rebuilt(
    grad_output: Batch,
    x: Batch,
    mean: Channel | Scalar,
    var: Channel | Scalar,
    weight: Channel | Scalar,
    eps: Channel | Scalar,
    *,
    xp: NumberSystem[Batch, Channel],
) -> tuple[Batch, Channel, Channel]: ...
