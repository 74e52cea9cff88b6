"""The same bits, whatever the NumPy and the number of BLAS threads: a digest of results, computed in processes of their own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import hashlib
import numpy as np
from bnref import equations
from bnref.arithmetic import evaluate

def program(x, weight, bias, eps, *, xp):
    mean, var = equations.batch_statistics(x, xp=xp)
    return equations.normalize(x, mean, var, weight, bias, eps, xp=xp), mean, var

digest = hashlib.sha256()
for dtype in ("float16", "float32", "float64"):
    for shape in ((700, 400), (8, 5, 9000)):
        rng = np.random.default_rng(11)
        x = (rng.integers(-2**20, 2**20, shape) / 2**18 + 3).astype(dtype)
        weight, bias = (rng.integers(-2**20, 2**20, shape[1]).astype("float32") / 2**19 for _ in range(2))
        for result in evaluate(program, (x, weight, bias, 1e-5), [dtype] * 3):
            digest.update(result.tobytes())
print(digest.hexdigest())
"""
DIGEST = "b03805e651dc6af8d26f433d7c14df820aae1207e835ccb1f34b1ad2c24b7312"


@pytest.mark.parametrize("threads", ["1", "2"])
def test_results_are_the_recorded_bits_with_one_blas_thread_and_with_two(threads):
    environment = os.environ | {"OPENBLAS_NUM_THREADS": threads, "OMP_NUM_THREADS": threads}
    root = Path(__file__).parents[2]
    run = subprocess.run([sys.executable, "-c", PROGRAM], cwd=root, env=environment, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == DIGEST
