"""The formulas of batch normalisation, as functions of a number system.

GENERATED from the notebooks: do not edit; change a chapter and run "make export".
Arrays have their channels last; `xp` supplies sum (over all axes but the last), count and sqrt.
"""

from .typing import Batch, BoundingSystem, Channel, Number, NumberSystem, Scalar

__all__ = [
    "batch_statistics",
    "normalize",
    "update_running_statistics",
    "complement",
    "cumulative_momentum",
    "backward",
    "backward_inference",
    "double_backward",
    "double_backward_inference",
    "mean_bound",
    "var_bound",
    "one_pass_var_bound",
    "rstd_bound",
    "output_bound",
    "running_bound",
    "backward_bound",
    "backward_inference_bound",
    "saved_bound",
    "stored_bound",
]

def batch_statistics(
    x: Batch,
    *,
    xp: NumberSystem[Batch, Channel],
) -> tuple[Channel, Channel]: ...

def normalize(
    x: Batch,
    mean: Channel | Scalar,
    var: Channel | Scalar,
    weight: Channel | Scalar,
    bias: Channel | Scalar,
    eps: Channel | Scalar,
    *,
    xp: NumberSystem[Batch, Channel],
) -> Batch: ...

def update_running_statistics(
    running_mean: Channel,
    running_var: Channel,
    mean: Channel,
    var: Channel,
    n: Channel | Scalar,
    momentum: Channel | Scalar,
    *,
    xp: object,
) -> tuple[Channel, Channel]: ...

def complement(
    momentum: Number,
    *,
    xp: object,
) -> Number: ...

def cumulative_momentum(
    num_batches_tracked: Number,
    *,
    xp: object,
) -> Number: ...

def backward(
    grad_output: Batch,
    x: Batch,
    mean: Channel | Scalar,
    var: Channel | Scalar,
    weight: Channel | Scalar,
    eps: Channel | Scalar,
    *,
    xp: NumberSystem[Batch, Channel],
) -> tuple[Batch, Channel, Channel]: ...

def backward_inference(
    grad_output: Batch,
    x: Batch,
    mean: Channel | Scalar,
    var: Channel | Scalar,
    weight: Channel | Scalar,
    eps: Channel | Scalar,
    *,
    xp: NumberSystem[Batch, Channel],
) -> tuple[Batch, Channel, Channel]: ...

def double_backward(
    grad_grad_input: Batch,
    grad_grad_weight: Channel | Scalar,
    grad_grad_bias: Channel | Scalar,
    grad_output: Batch,
    x: Batch,
    mean: Channel | Scalar,
    var: Channel | Scalar,
    weight: Channel | Scalar,
    eps: Channel | Scalar,
    *,
    xp: NumberSystem[Batch, Channel],
) -> tuple[Batch, Batch, Channel]: ...

def double_backward_inference(
    grad_grad_input: Batch,
    grad_grad_weight: Channel | Scalar,
    grad_grad_bias: Channel | Scalar,
    grad_output: Batch,
    x: Batch,
    mean: Channel | Scalar,
    var: Channel | Scalar,
    weight: Channel | Scalar,
    eps: Channel | Scalar,
    *,
    xp: NumberSystem[Batch, Channel],
) -> tuple[Batch, Batch, Channel]: ...

def mean_bound(
    x: Batch,
    mean: Channel | Scalar,
    u_stat: Channel | Scalar,
    u_sum: Channel | Scalar,
    steps: Channel | Scalar,
    tiny: Channel | Scalar,
    *,
    xp: BoundingSystem[Batch, Channel],
) -> Channel: ...

def var_bound(
    var: Channel | Scalar,
    mean_error: Channel | Scalar,
    u_stat: Channel | Scalar,
    u_sum: Channel | Scalar,
    steps: Channel | Scalar,
    tiny: Channel | Scalar,
    *,
    xp: BoundingSystem[Batch, Channel],
) -> tuple[Channel, Channel]: ...

def one_pass_var_bound(
    mean: Channel | Scalar,
    var: Channel | Scalar,
    mean_error: Channel | Scalar,
    u_stat: Channel | Scalar,
    u_sum: Channel | Scalar,
    steps: Channel | Scalar,
    tiny: Channel | Scalar,
    *,
    xp: BoundingSystem[Batch, Channel],
) -> Channel: ...

def rstd_bound(
    var: Channel | Scalar,
    eps: Channel | Scalar,
    var_below: Channel | Scalar,
    var_above: Channel | Scalar,
    u_stat: Channel | Scalar,
    *,
    xp: BoundingSystem[Batch, Channel],
) -> Channel: ...

def output_bound(
    x: Batch,
    deviation: Batch,
    y: Batch,
    mean: Channel | Scalar,
    rstd: Channel | Scalar,
    weight: Channel | Scalar,
    bias: Channel | Scalar,
    mean_error: Channel | Scalar,
    rstd_error: Channel | Scalar,
    u: Channel | Scalar,
    tiny: Channel | Scalar,
    *,
    xp: BoundingSystem[Batch, Channel],
) -> Batch: ...

def running_bound(
    running_mean: Channel | Scalar,
    running_var: Channel | Scalar,
    mean: Channel | Scalar,
    var: Channel | Scalar,
    n: Channel | Scalar,
    momentum: Channel | Scalar,
    mean_error: Channel | Scalar,
    var_above: Channel | Scalar,
    u: Channel | Scalar,
    tiny: Channel | Scalar,
    *,
    xp: BoundingSystem[Batch, Channel],
) -> tuple[Channel, Channel]: ...

def backward_bound(
    grad_output: Batch,
    deviation: Batch,
    rstd: Channel | Scalar,
    weight: Channel | Scalar,
    dweight: Channel | Scalar,
    dbias: Channel | Scalar,
    mean_error: Channel | Scalar,
    rstd_error: Channel | Scalar,
    u: Channel | Scalar,
    u_sum: Channel | Scalar,
    steps: Channel | Scalar,
    tiny: Channel | Scalar,
    *,
    xp: BoundingSystem[Batch, Channel],
) -> tuple[Batch, Channel, Channel]: ...

def backward_inference_bound(
    grad_output: Batch,
    deviation: Batch,
    rstd: Channel | Scalar,
    weight: Channel | Scalar,
    dbias: Channel | Scalar,
    mean_error: Channel | Scalar,
    rstd_error: Channel | Scalar,
    u: Channel | Scalar,
    u_sum: Channel | Scalar,
    steps: Channel | Scalar,
    tiny: Channel | Scalar,
    *,
    xp: BoundingSystem[Batch, Channel],
) -> tuple[Batch, Channel, Channel]: ...

def saved_bound(
    rstd: Channel,
    rstd_error: Channel,
    u_saved: Channel | Scalar,
    tiny_saved: Channel | Scalar,
    *,
    xp: object,
) -> Channel: ...

def stored_bound(
    value: Batch,
    error: Batch,
    u_out: Channel | Scalar,
    tiny_out: Channel | Scalar,
    *,
    xp: BoundingSystem[Batch, Channel],
) -> Batch: ...
