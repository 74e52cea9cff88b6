"""`evaluate`: run a program on arrays, every result correctly rounded.

The fast number systems come first; where their rounding test does not decide, the exact one does; where an operand is not
finite, IEEE arithmetic.
"""

import numpy as np

from .exact import element, is_screened, number, round_exact
from .ieee import Ieee
from .moments import TiledChannel
from .recording import Batch
from .rounding import format_of, nearest
from .tiles import merge_spatial_axes, tiles

BLOCK = 8192  # channels worked on at a time: bounds the memory for per-channel numbers
DECISIONS = 100_000  # distinct values whose rounding is remembered, per channel block


def evaluate(program, operands, dtypes):
    """Run a program of batch normalisation on arrays and round each result once, to nearest, ties to even.

    Parameters
    ----------
    program : called as program(*operands, xp=number_system); returns a value or a tuple of values made with
        + - * /, unary minus, ** and a positive int, and xp.sum(batch), xp.count(batch), xp.sqrt(channel).
    operands : arrays of shape (N, C, *) with at least two axes, all alike (batch); (C,) (channel); or numbers: int, float,
        Fraction (a float means the double that it is). Array dtypes float16, bfloat16, float32, float64.
    dtypes : one dtype per result.

    Returns
    -------
    A tuple of fresh arrays, one per result: (N, C, *) for a batch result, otherwise (C,).

    Special cases
    -------------
    Where a result depends, in a channel, on an operand that is not finite, it is what float64 arithmetic gives there; other
    results and channels are not touched. Division by an exact zero counts it as +0, the root of a negative number is NaN.
    An exact zero result is +0.
    """
    with np.errstate(all="ignore"):
        return _Evaluation(program, operands, dtypes).run()


class _Evaluation:
    """One call of `evaluate`."""

    def __init__(self, program, operands, dtypes):
        self.program, self.operands = program, list(operands)
        self.dtypes = [np.dtype(dtype) for dtype in dtypes]
        self.formats = [format_of(dtype) for dtype in self.dtypes]
        self.batch = [k for k, operand in enumerate(self.operands) if isinstance(operand, np.ndarray) and operand.ndim > 1]
        self.channel = [k for k, operand in enumerate(self.operands) if isinstance(operand, np.ndarray) and operand.ndim == 1]
        for k in self.batch + self.channel:
            format_of(self.operands[k].dtype)
        shapes = {self.operands[k].shape for k in self.batch}
        counts = {shape[1] for shape in shapes} | {self.operands[k].shape[0] for k in self.channel}
        if len(shapes) > 1 or len(counts) > 1:
            given = [np.shape(operand) for operand in self.operands]
            raise ValueError(f"batch operands must have one shape (N, C, *) and channel operands (C,), not {given}")
        self.shape = shapes.pop() if shapes else None
        self.C = counts.pop() if counts else 1
        self.leaves = merge_spatial_axes([self.operands[k] for k in self.batch])
        self.results = None

    def run(self):
        for start in range(0, max(self.C, 1), BLOCK):
            _Block(self, start, min(start + BLOCK, self.C)).run()
        return tuple(self.results)

    def allocate(self, values):
        """Make the arrays for the results, once a run of the program has shown which of them are batch results."""
        if self.results is None:
            shapes = [self.shape if isinstance(value, Batch) else (self.C,) for value in values]
            self.results = [np.empty(shape, dtype) for shape, dtype in zip(shapes, self.dtypes)]
            self.views = [
                result.reshape(self.leaves[0].shape) if isinstance(value, Batch) else result
                for result, value in zip(self.results, values)
            ]

    def call(self, leaves, channel, scalar, xp):
        """Run the program with the operands as the number system xp wants them."""
        leaves = iter(leaves)
        arguments = [
            next(leaves) if k in self.batch else channel(operand) if k in self.channel else scalar(operand)
            for k, operand in enumerate(self.operands)
        ]
        values = self.program(*arguments, xp=xp)
        return values if isinstance(values, tuple) else (values,)


class _Block:
    """The channels start, ..., stop - 1 of an evaluation."""

    def __init__(self, evaluation, start, stop):
        self.evaluation, self.start, self.stop = evaluation, start, stop
        self.exact = {}  # channel: its exact results
        self.decided = {}  # (result, channel, operand values): rounded value

    def run(self):
        evaluation = self.evaluation
        for c in range(self.start, self.stop):
            values = self.exact_results(c)
            evaluation.allocate(values)
            for i, value in enumerate(values):
                if is_screened(value):
                    self.store_ieee(i, c, c + 1)
                elif isinstance(value, Batch):
                    for tile in tiles(evaluation.leaves[0].shape, c, c + 1):
                        operands = [tile.load(leaf) for leaf in evaluation.leaves]
                        everywhere = np.ones(operands[0].shape, bool)
                        channels = np.full(operands[0].size, c)
                        rounded = self.decide(i, channels, [operand[everywhere] for operand in operands])
                        tile.store(evaluation.views[i], rounded)
                else:
                    evaluation.views[i][c] = round_exact(value, evaluation.formats[i])

    def exact_results(self, c):
        """The results of the program in channel c: exact numbers, SCREENED, or batch values over exact numbers."""
        if c not in self.exact:
            xp = TiledChannel(self.evaluation.leaves, c)
            self.exact[c] = self.evaluation.call(xp.operands, lambda numbers: number(float(numbers[c])), number, xp)
        return self.exact[c]

    def decide(self, i, channels, operands):
        """Result i, rounded, for elements given by their channels and operand values: each distinct one decided once."""
        format_ = self.evaluation.formats[i]
        decided = self.decided
        rounded = []
        for key in zip(channels.tolist(), *(operand.tolist() for operand in operands)):
            if (i, key) not in decided:
                if len(decided) >= DECISIONS:
                    decided.clear()
                values = [number(value) for value in key[1:]]
                decided[i, key] = round_exact(element(self.exact_results(key[0])[i], values), format_)
            rounded.append(decided[i, key])
        return nearest(np.array(rounded, dtype=np.float64), self.evaluation.dtypes[i])

    def store_ieee(self, i, start, stop):
        """Result i of the channels start, ..., stop - 1 by float64 arithmetic."""
        evaluation = self.evaluation
        xp = Ieee(evaluation.leaves, start, stop)
        leaves = [Batch.operand(k) for k in range(len(evaluation.leaves))]
        value = evaluation.call(
            leaves, lambda numbers: numbers[start:stop].astype(np.float64), lambda scalar: np.array([float(scalar)]), xp
        )[i]
        if isinstance(value, Batch):
            for tile, values in xp.tiles(value):
                tile.store(evaluation.views[i], nearest(values, evaluation.dtypes[i]))
        else:
            evaluation.views[i][start:stop] = nearest(np.asarray(value), evaluation.dtypes[i])
