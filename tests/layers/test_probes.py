"""Names, representations, constructors, dtypes and errors: bnref's answers to the probes that the real layers answered."""

import pytest
from layer_bench import bfloat16_is_here, golden, namespace
from probes import FLOAT16_LOSES_ITS_UPDATE, PROBES, answer

# Where bnref knowingly answers otherwise.
KNOWN = {("mindspore", FLOAT16_LOSES_ITS_UPDATE): "on the CPU the update is made in a float32 copy, which is lost"}


@pytest.mark.parametrize("framework", PROBES)
def test_the_record_answers_every_probe(framework):
    assert list(golden("probes", framework)["answers"]) == list(dict.fromkeys(PROBES[framework]))


@pytest.mark.parametrize("framework", PROBES)
def test_bnref_answers_every_probe_as_the_real_layer_did(framework):
    real, here = golden("probes", framework)["answers"], namespace(framework)
    wrong = {}
    for code, theirs in real.items():
        if "bfloat16" in code and not bfloat16_is_here():
            continue
        ours = answer(code, here)
        if (ours == theirs) == ((framework, code) in KNOWN):
            wrong[code] = (ours, theirs)
    assert not wrong, f"{len(wrong)} answers differ:\n" + "\n".join(f"{c}\n  bnref {a}\n  real  {b}" for c, (a, b) in wrong.items())
