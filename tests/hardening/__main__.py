"""Make ten thousand malformed calls: every one refused, with a documented error, within a second.

    python -m tests.hardening [count [seed]]
"""

import sys
import warnings

from .malformed import calls, described, violations

LIMIT = 1.0  # seconds, for the slowest call


def main(count=10_000, seed=0):
    warnings.simplefilter("error")
    slowest, broken = (0.0, ""), 0
    for number, each in enumerate(calls(int(count), int(seed))):
        found, taken = violations(*each)
        slowest = max(slowest, (taken, described(*each)))
        broken += bool(found)
        for violation in found:
            print(f"call {number}: {described(*each)}: {violation}")
    print(f"{count} malformed calls, seed {seed}: {broken} broke a promise; the slowest took {slowest[0]:.3f} s: {slowest[1]}")
    sys.exit(broken > 0 or slowest[0] > LIMIT)


if __name__ == "__main__":
    main(*sys.argv[1:])
