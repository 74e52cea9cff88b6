"""The number system of rigorous enclosures, for a whole batch.

`BallBatch` is a batch value: recorded operations, replayed on tiles, with

    |true - value| <= a + r * |value|,        a, r: arrays (C,)

at every position, for the arithmetic (float64 or double-double, of unit roundoff u) that the tiles are replayed in. `Balls` is the
number system, an `xp` for programs; its channel numbers are balls.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..typing import Array, Floats
from .ball import Ball
from .coarse import Coarse
from .double_double import SAFE, TINY, ZERO
from .extraction import Grid, Sums
from .folding import NEAR, SMALL, FoldedSums
from .plain import PlainSums
from .polynomial import Monomial, Polynomial
from .scratch import Scratch
from .tile_arithmetic import SLACK, DoubleDoubles, Float64
from .tiles import Tile, tiles

LARGER = 4  # so much larger than the results may what is added to a product be: it costs them two bits

TileArithmetic: TypeAlias = Float64 | DoubleDoubles


class BallBatch:
    """A recorded batch value of the number system `xp`.

    kind "leaf": operand k; "shift", "scale": a batch value and a Ball; "add", "multiply": two batch values.

    Lemmas, for z = the computed value and x, y computed operands of bounds (a, r), (b, s); c = a Ball, C its radius:

    x + c  a + C + r|c| + 2u|lo|,                    r + 2u        |x| <= |z| + |c|; float64 rounds twice, then |x+hi| <= |z|+|lo|
    x * c  a (|c| + C),                              r (1+k) + k + u        k = (C + part of c not used) / |c|
    x + y  a + b + r max|x| + s max|y|,              u             max over the channel
    x * y  a (1+s) max|y| + b (1+r) max|x| + a b,    r + s + r s + u
    """

    __slots__ = ("xp", "kind", "left", "right", "users", "slot")
    __array_ufunc__ = None

    def __init__(self, xp: Balls, kind: str, left: Any, right: Any = None) -> None:
        self.xp, self.kind, self.left, self.right = xp, kind, left, right
        self.users, self.slot = 0, xp.nodes
        xp.nodes += 1
        for operand in (left, right):
            if isinstance(operand, BallBatch):
                operand.users += 1

    def __add__(self, other: Any) -> BallBatch:
        if isinstance(other, BallBatch):
            return BallBatch(self.xp, "add", self, other)
        other = self.xp.number.of(other)
        if not (np.count_nonzero(other.hi) or np.count_nonzero(other.lo) or np.count_nonzero(other.radius)):
            return self
        return BallBatch(self.xp, "shift", self, other)

    def __mul__(self, other: Any) -> BallBatch:
        if isinstance(other, BallBatch):
            return BallBatch(self.xp, "multiply", self, other)
        if isinstance(other, int) and other == 1:
            return self
        if self.kind == "scale":
            return BallBatch(self.xp, "scale", self.left, self.right * other)
        return BallBatch(self.xp, "scale", self, self.xp.number.of(other))

    def __neg__(self) -> Any:
        return self * -1

    def __sub__(self, other: Any) -> Any:
        return self + -other

    def __rsub__(self, other: Any) -> Any:
        return -self + other

    def __truediv__(self, other: Any) -> Any:
        return self * (1 / self.xp.number.of(other))

    def __pow__(self, exponent: int) -> Any:
        result = self
        for _ in range(exponent - 1):
            result = result * self
        return result

    __radd__, __rmul__ = __add__, __mul__

    def replay(self, arithmetic: TileArithmetic, leaves: Sequence[Any], spread: Callable[[Floats], Floats],
               known: dict[int, Any] | None = None) -> Any:
        """The value in the given arithmetic: operand k is leaves[k], a channel array counts as spread(array)."""
        if self.kind == "leaf":
            return arithmetic.leaf(self, leaves[self.left])
        known = {} if known is None else known
        if self.slot not in known:
            left = self.left.replay(arithmetic, leaves, spread, known)
            right = spread
            if isinstance(self.right, BallBatch):
                right = self.right.replay(arithmetic, leaves, spread, known)
            known[self.slot] = getattr(arithmetic, self.kind)(self, left, right)
        return known[self.slot]

    def on(self, arithmetic: TileArithmetic, leaves: Sequence[Array], tile: Tile, scratch: Scratch | None = None) -> Any:
        """The value on a tile of these arrays."""
        return self.replay(arithmetic, [tile.load(leaf, scratch, k) for k, leaf in enumerate(leaves)], tile.spread)

    def affine(self) -> tuple[int, Ball, Ball] | None:
        """(k, c, d) where this is operand k times c, plus d; otherwise None."""
        terms = self.xp.polynomial(self).terms
        factors = [monomial for monomial in terms if monomial]
        if [*map(len, factors)] != [1]:
            return None
        (k,), = factors
        c, d = (self.xp.number.of(number) for number in (terms[k,], terms.get((), 0)))
        pivot = self.xp.pivot(k)
        return k, c, d + c * -pivot if np.count_nonzero(pivot) else d

    def fused(self) -> BallBatch:
        """An equal value that takes fewer operations, where that costs little accuracy in float64.

        (x - mean) * c + bias becomes x * c + d, both numbers rounded to float64. That is nearly as good where d is not much larger
        than the results are, by a sample. (Any choice is right: the bounds are those of the form chosen.)
        """
        form = self.affine()
        if form is None or self.kind not in ("shift", "scale"):
            return self
        k, c, d = form
        grid = self.xp.grid(k)
        size = np.hypot(grid.mean * c.hi + d.hi, grid.spread * c.hi)
        if not np.all(np.abs(d.hi) <= LARGER * size):
            return self._late()
        return BallBatch(self.xp, "shift", BallBatch(self.xp, "scale", BallBatch(self.xp, "leaf", k), c), d.rounded())

    def guess(self) -> Floats | None:
        """What no values or few exceed in magnitude, per channel, by a sample of the operand."""
        form = self.affine()
        if form is None:
            return None
        k, c, d = form
        grid = self.xp.grid(k)
        guess: Floats = np.abs(grid.mean * c.hi + d.hi) + grid.extent * np.abs(c.hi)
        return guess

    def _late(self) -> BallBatch:
        """(x + m) * c + d, what m has below float64 added with d instead: that is one addition less."""
        xp, scaled = self.xp, self.left if self.kind == "shift" else self
        inner = scaled.left
        if scaled.kind != "scale" or inner.kind != "shift" or not np.count_nonzero(inner.right.lo):
            return self
        m, c = inner.right, scaled.right
        d = xp.number.of(Ball(m.lo, ZERO, ZERO)) * c
        if self.kind == "shift":
            d = d + self.right
        m = xp.number.of(Ball(m.hi, ZERO, m.radius))
        return BallBatch(xp, "shift", BallBatch(xp, "scale", BallBatch(xp, "shift", inner.left, m), c), d.rounded())

    def at(self, values: Sequence[Any], channels: NDArray[np.intp]) -> Any:
        """The values at some positions, each with its own radius: operand k is values[k], the position's channel channels."""
        if self.kind == "leaf":
            return self.xp.number.of(values[self.left])
        left = self.left.at(values, channels)
        right = self.right.at(values, channels) if isinstance(self.right, BallBatch) else self.right.take(channels)
        return left + right if self.kind in ("add", "shift") else left * right

    def bounds(self, arithmetic: TileArithmetic) -> tuple[Any, Any]:
        """(a, r) of the class's lemmas."""
        if self.kind == "leaf":
            return 0.0, 0.0
        u = arithmetic.unit
        a, r = self.left.bounds(arithmetic)
        if self.kind == "shift":
            c = self.right
            a = a + c.radius + r * np.abs(c.hi)
            if c.lo is not ZERO:
                a = a + 2 * u * np.abs(c.lo)
            r = r + 2 * u
        elif self.kind == "scale":
            c = self.right
            size, lost = np.abs(c.hi), c.radius + arithmetic.dropped(c)
            k = np.where(lost > 0, lost / size, 0)
            a, r = a * (size + lost), r * (1 + k) + k + u
            if np.count_nonzero(small := size * self.left.smallest() < SAFE):
                a = a + np.where(small & (size > 0), TINY, 0)
        else:
            b, s = self.right.bounds(arithmetic)
            x = y = 0.0
            if self.kind == "add":
                x = self.left.peak(arithmetic) if np.any(r) else 0.0
                y = self.right.peak(arithmetic) if np.any(s) else 0.0
                a, r = a + b + r * x + s * y, u
            else:
                y = self.right.peak(arithmetic) if np.any(a) else 0.0
                x = self.left.peak(arithmetic) if np.any(b) else 0.0
                a, r = a * (1 + s) * y + b * (1 + r) * x + a * b + TINY, r + s + r * s + u
        return a * SLACK, r * SLACK

    def smallest(self) -> float:
        """A lower bound of the magnitude of computed values that are not 0. A rounded sum is a multiple of its operands' grids."""
        if self.kind == "leaf":
            return 2.0**-149 if self.xp.leaves[self.left].dtype.itemsize < 8 else 0.0
        if self.kind == "shift" and (least := self.left.smallest()):
            parts = np.abs(np.concatenate([self.right.hi, self.right.lo]))
            return float(min(least, parts[parts > 0].min(initial=1.0))) * 2.0**-106
        return 0.0

    def reach(self) -> Any:
        """An upper bound, per channel, of the magnitude of the true values, if sums have shown how large the operands are in all."""
        peaks = getattr(self.xp.sums, "peaks", None)
        if peaks is None:
            return None
        total = 0.0
        for monomial, coefficient in self.xp.polynomial(self).terms.items():
            coefficient = self.xp.number.of(coefficient)
            size = np.abs(coefficient.hi) + coefficient.radius  # SLACK covers low parts, too
            for k in monomial:
                size = size * peaks[k]
            total = total + size
        return total * SLACK if np.isfinite(total).all() else None

    def peak(self, arithmetic: TileArithmetic) -> Floats:
        """An upper bound, per channel, of the magnitude of the computed values."""
        xp = self.xp
        peak = np.zeros(xp.stop - xp.start)
        for tile in tiles(xp.leaves[0].shape, xp.start, xp.stop, arithmetic.share(len(xp.leaves))):
            values = self.on(arithmetic, xp.leaves, tile)
            highest = arithmetic.magnitude(values).max(axis=tile.axis)
            peak[tile.channels] = np.maximum(peak[tile.channels], highest)
        return peak


class Balls:
    """The number system of the channels start, ..., stop - 1 of the batch operands `leaves`.

    limbs: how sharp sums are: 0 the cheapest (plain.py), 1 sharp for results of up to float32, 3 for float64 (extraction.py);
    those of small batches are folded (folding.py).
    """

    def __init__(self, leaves: Sequence[Array], start: int, stop: int, limbs: int, scratch: Scratch) -> None:
        self.number: type[Ball] = Ball if limbs else Coarse
        self.scratch, self.nodes = scratch, 0
        self.leaves, self.start, self.stop, self.limbs = leaves, start, stop, limbs
        self.n = leaves[0][:, :1].size if leaves else 0
        self.grids: dict[int, Grid] = {}
        self.sums: Sums | PlainSums | FoldedSums | None = None
        self.moments: dict[Monomial, Ball] = {}
        self.polynomials: dict[int, Polynomial] = {}  # of batch values, by their slots

    def operands(self) -> list[BallBatch]:
        """The leaves as batch values; not kept here, for a reference cycle would keep the memory of the sums."""
        return [BallBatch(self, "leaf", k) for k in range(len(self.leaves))]

    def release(self) -> None:
        """Let go of the memory: enough is left for `at`."""
        self.leaves, self.grids, self.sums, self.moments, self.polynomials = [], {}, None, {}, {}

    def count(self, batch: Any) -> Any:
        """The number of values of each channel."""
        return self.number.of(self.n)

    def sqrt(self, value: Ball) -> Ball:
        """The square root, channel by channel."""
        return value.sqrt()

    def sum(self, batch: BallBatch) -> Any:
        """A polynomial in the operands: each coefficient times the moment of its monomial, about the pivots."""
        if not self.n:
            return self.number.of(0)
        total: Any = None
        sums = self.summed()
        terms = self.polynomial(batch).terms
        for monomial, coefficient in terms.items():
            moment = self.moment(monomial) if monomial else self.number.of(self.n)
            term = moment if isinstance(coefficient, int) and coefficient == 1 else moment * coefficient
            total = term if total is None else total + term
        if max(map(len, terms)) < 2 or sums.sharp:
            return total  # means are taken from operands about as large; and what is exact may be a tie
        return total.blunt()

    def polynomial(self, batch: BallBatch) -> Polynomial:
        """A batch value as polynomial in the operands about their pivots: operand k is x_k + pivot."""
        if batch.slot not in self.polynomials:
            if batch.kind == "leaf":
                pivot = self.pivot(batch.left)
                found = Polynomial({(batch.left,): 1})
                if np.count_nonzero(pivot):
                    found = found + self.number.of(pivot)
            else:
                left = self.polynomial(batch.left)
                right = self.polynomial(batch.right) if isinstance(batch.right, BallBatch) else batch.right
                found = left + right if batch.kind in ("add", "shift") else left * right
            self.polynomials[batch.slot] = found
        return self.polynomials[batch.slot]

    def pivot(self, k: int) -> Floats:
        """The pivot of operand k that sums were taken about; 0 where none were."""
        return ZERO if self.sums is None else self.sums.pivots[k]

    def grid(self, k: int) -> Grid:
        """The grid of operand k."""
        if k not in self.grids:
            self.grids[k] = Grid(self.leaves[k], self.start, self.stop, 2 if self.limbs else NEAR)
        return self.grids[k]

    def moment(self, monomial: Monomial) -> Any:
        """A Ball. All moments are taken in one pass over the operands."""
        if len(monomial) > 2:
            return self.number.of(np.full(self.stop - self.start, np.nan))  # left to exact arithmetic
        if monomial not in self.moments:
            self.moments[monomial] = self.number(*self.summed().moment(monomial))
        return self.moments[monomial]

    def summed(self) -> Sums | PlainSums | FoldedSums:
        """The moments of all operands, and their pivots."""
        if self.sums is None:
            leaves, start, stop = self.leaves, self.start, self.stop
            self.polynomials.clear()  # any from before are about 0
            if self.n * (stop - start) * (2 if self.limbs else 1) <= SMALL:
                self.sums = FoldedSums(leaves, start, stop, self.limbs > 0)
            elif self.limbs:
                self.sums = Sums(leaves, [self.grid(k) for k in range(len(leaves))], start, stop, self.limbs, self.scratch)
            else:
                self.sums = PlainSums(leaves, [self.grid(k).pivot for k in range(len(leaves))], start, stop, self.scratch)
        return self.sums
