"""bnref: the batch-normalisation reference that can be read, run and trusted.

`batch_norm` gives the correctly rounded answer; `torch` and `mindspore` hold the layers as the two frameworks define
them; `states` says what each layer does in every state; `port` carries a layer or a checkpoint from one to the other;
`testing` says whether somebody else's results conform, and if not, why.
Every formula is generated from the notebooks into `equations`.  NumPy is the only dependency.
"""

from . import arithmetic, equations, functional, mindspore, mistakes, port, states, testing, torch, typing
from .functional import batch_norm, batch_norm_backward, batch_norm_double_backward

__version__ = "0.1.0"
__all__ = ["arithmetic", "batch_norm", "batch_norm_backward", "batch_norm_double_backward", "equations", "functional",
           "mindspore", "mistakes", "port", "states", "testing", "torch", "typing"]
