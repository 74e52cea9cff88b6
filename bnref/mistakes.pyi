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
    "backward_dbias_not_divided",
    "backward_dweight_not_divided",
    "normalize_unbiased",
    "normalize_eps_outside",
    "update_biased",
    "backward_unbiased",
    "backward_eps_outside",
    "backward_var_rebuilt",
    "rebuilt_variances",
    "alike_unbiased",
    "alike_eps_outside",
    "read_output",
    "about_mean",
    "read_update",
    "read_grad_weight",
    "read_grad_input",
    "read_sums",
    "backward_of_sums",
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

def backward_dbias_not_divided(
    grad_output: Batch,
    x: Batch,
    mean: Channel | Scalar,
    var: Channel | Scalar,
    weight: Channel | Scalar,
    eps: Channel | Scalar,
    *,
    xp: NumberSystem[Batch, Channel],
) -> tuple[Batch, Channel, Channel]: ...

def backward_dweight_not_divided(
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

def rebuilt_variances(
    var: Channel | Scalar,
    eps: Channel | Scalar,
    *,
    xp: NumberSystem[Batch, Channel],
) -> tuple[Channel, Channel, Channel]: ...

def alike_unbiased(
    n: Channel | Scalar,
    weight: Channel | Scalar,
    eps: Channel | Scalar,
    *,
    xp: NumberSystem[Batch, Channel],
) -> tuple[Channel, Channel]: ...

def alike_eps_outside(
    var: Channel | Scalar,
    eps: Channel | Scalar,
    *,
    xp: NumberSystem[Batch, Channel],
) -> Channel: ...

def read_output(
    deviation: Batch,
    y: Batch,
    mean: Channel | Scalar,
    weight: Channel | Scalar,
    bias: Channel | Scalar,
    eps: Channel | Scalar,
    *,
    xp: NumberSystem[Batch, Channel],
) -> tuple[Channel, Channel]: ...

def about_mean(
    mean: Channel,
    var: Channel,
    read_mean: Channel,
    read_var: Channel,
    *,
    xp: object,
) -> tuple[Channel, Channel, Channel]: ...

def read_update(
    running_mean: Channel,
    running_var: Channel,
    new_running_mean: Channel,
    new_running_var: Channel,
    n: Channel | Scalar,
    momentum: Channel | Scalar,
    *,
    xp: object,
) -> tuple[Channel, Channel]: ...

def read_grad_weight(
    grad_output: Batch,
    deviation: Batch,
    dweight: Channel | Scalar,
    mean: Channel | Scalar,
    var: Channel | Scalar,
    eps: Channel | Scalar,
    *,
    xp: NumberSystem[Batch, Channel],
) -> tuple[Channel, Channel]: ...

def read_grad_input(
    grad_output: Batch,
    deviation: Batch,
    dx: Batch,
    weight: Channel | Scalar,
    eps: Channel | Scalar,
    *,
    xp: NumberSystem[Batch, Channel],
) -> tuple[Batch, Channel]: ...

def read_sums(
    grad_output: Batch,
    deviation: Batch,
    dx: Batch,
    weight: Channel | Scalar,
    rstd: Channel | Scalar,
    *,
    xp: NumberSystem[Batch, Channel],
) -> tuple[Channel, Channel]: ...

def backward_of_sums(
    grad_output: Batch,
    deviation: Batch,
    dbias: Channel | Scalar,
    dweight: Channel | Scalar,
    weight: Channel | Scalar,
    rstd: Channel | Scalar,
    *,
    xp: NumberSystem[Batch, Channel],
) -> Batch: ...
