"""Small questions to a layer, as Python expressions that mean the same to the real layers and to bnref's.

A probe is evaluated with `BatchNorm1d`, `BatchNorm2d`, `BatchNorm3d`, ``x(*shape, dtype=...)`` (ones),
``array(*values, dtype=...)``, ``dtype(name)`` and ``values(array)`` of the framework or of bnref.  The answer is its
value, or the class of the error.
"""


def answer(code, namespace):
    """Evaluate a probe: a JSON value, or "raises TypeError"."""
    try:
        value = eval(code, dict(namespace))  # our own expressions, from the lists below
    except Exception as error:
        return f"raises {type(error).__name__}"
    return value if isinstance(value, (str, int, float, list)) else repr(value)


DTYPES = ("float16", "bfloat16", "float32", "float64")

PROBES = {"torch": [], "mindspore": []}

PROBES["torch"] += [f"repr(BatchNorm{n}d({arguments}))" for n in (1, 2, 3) for arguments in (
    "4", "4, 1e-3, 0.2", "4, momentum=None", "4, affine=False", "4, bias=False", "4, affine=False, bias=False",
    "4, track_running_stats=False", "0", "4, eps=1, momentum=2")]
PROBES["torch"] += [f"list(BatchNorm{n}d({arguments}).state_dict())" for n in (1, 2, 3) for arguments in (
    "4", "4, bias=False", "4, affine=False", "4, track_running_stats=False", "4, False, track_running_stats=False")]
PROBES["torch"] += [f"list(BatchNorm1d(4{arguments}).state_dict(prefix='bn1.'))" for arguments in ("", ", affine=False")]
PROBES["torch"] += [f"len(repr(BatchNorm1d({arguments}))) > 0" for arguments in (
    "-1", "2.0", "'4'", "None", "True", "4, eps='a'", "4, momentum='a'", "4, device='nope'", "4, device='cpu'",
    "4, dtype=dtype('int64')", "4, dtype='nope'", "4, 1e-5, 0.1, True, True, None, None, True", "4, beta=True")]
PROBES["torch"] += [f"BatchNorm1d(2).train({mode})({x}) is None" for mode in (True, False) for x in (
    "x(2)", "x(3, 2, 1, 1)", "x()", "x(3, 3)", "x(1, 3)", "x(3, 3, 2)", "x(3, 3, dtype='int64')", "x(3, 3, dtype='float64')",
    "x(1, 2, dtype='int64')", "x(3, 2, dtype='bool')", "x(3, 2, dtype='complex64')", "x(3, 2, dtype='int32')")]
PROBES["torch"] += [f"BatchNorm{n}d(2)(x({shape})) is None" for n in (2, 3) for shape in (
    "3, 2", "3, 2, 1", "3, 2, 2, 2", "3, 2, 2, 2, 2", "3, 2, 2, 2, 2, 2", "1, 2, 1, 1", "1, 2, 1, 1, 1")]
PROBES["torch"] += [f"BatchNorm1d(2, eps={eps}).train({mode})({x}) is None" for mode in (True, False)
                    for eps in ("0", "0.0", "-0.0", "-1e-5", "1", "1.5", "1e-60", "None", "'1'", "True")
                    for x in ("x(3, 2)", "x(1, 2)", "x(3, 3)", "x(3, 2, dtype='int64')", "x(2)")]
PROBES["torch"] += [f"BatchNorm1d(2, momentum={momentum}).train({mode})(x(3, 2)) is None"
                    for momentum in ("'a'", "[0.1]", "True", "1", "-3", "1e300") for mode in (True, False)]
PROBES["torch"] += [f"BatchNorm1d(2, dtype=dtype('{own}'){arguments}).train({mode})(x(3, 2, dtype='{other}')).dtype is None"
                    for own in DTYPES for other in DTYPES + ("int64",) for mode in (True, False)
                    for arguments in ("", ", affine=False", ", track_running_stats=False",
                                      ", affine=False, track_running_stats=False")]
PROBES["torch"] += [f"[(bn := BatchNorm1d(2, affine=False).train({mode})), "
                    f"setattr(bn, 'running_mean', array(0, 0, dtype='int64')), "
                    f"setattr(bn, 'running_var', array(1, 1, dtype='int64')), bn(x(3, 2, dtype='{other}'))][0] is None"
                    for mode in (True, False) for other in DTYPES + ("int64",)]
_LOAD = ("[(bn := BatchNorm1d(2)), bn.running_mean.__setitem__(0, 9.0), bn.load_state_dict({}{}), "
         "values(bn.running_mean), int(bn.num_batches_tracked)][3:]")
_FULL = {"weight": "array(1.0, 2.0)", "bias": "array(3.0, 4.0)", "running_mean": "array(5.0, 6.0)",
         "running_var": "array(7.0, 8.0)", "num_batches_tracked": "array(9, dtype='int64')[0]"}


def _dictionary(**changes):
    entries = {**_FULL, **changes}
    return "{" + ", ".join(f"'{key}': {value}" for key, value in entries.items() if value) + "}"


PROBES["torch"] += [_LOAD.format(dictionary, strict) for strict in ("", ", strict=False") for dictionary in (
    _dictionary(), _dictionary(num_batches_tracked=None), _dictionary(running_mean=None), _dictionary(bias=None, weight=None),
    _dictionary(extra="array(1.0)"), _dictionary(running_mean="array(1.0, 2.0, 3.0)"), "[]", "{}",
    _dictionary(running_mean="array(0.1, 0.2, dtype='float64')"), _dictionary(running_mean="[1.0, 2.0]"),
    _dictionary(num_batches_tracked="array(5, dtype='int64')"), _dictionary(num_batches_tracked="array(5.7)[0]"))]
PROBES["torch"] += [f"BatchNorm1d(2).train({mode}).training" for mode in ("True", "False", "1", "'x'", "None")]
PROBES["torch"] += ["BatchNorm1d(2).eval().training", "BatchNorm1d(2).training",
                    "[(bn := BatchNorm1d(2)), setattr(bn, 'track_running_stats', False), bn.load_state_dict("
                    + _dictionary(num_batches_tracked=None) + ")][0] is None"]

PROBES["mindspore"] += [f"repr(BatchNorm{n}d({arguments}))" for n in (1, 2, 3) for arguments in (
    "4", "2, 1e-3, 0.3", "2, momentum=0", "2, momentum=1", "2, affine=False", "2, use_batch_statistics=True",
    "2, gamma_init=0.5", "2, dtype=dtype('float16')", "2, dtype=dtype('bfloat16')")]
PROBES["mindspore"] += [f"BatchNorm{n}d(2, momentum={momentum}){inner}.momentum" for n, inner in ((1, ""), (2, ""), (3, ".bn2d"))
                        for momentum in ("0.9", "0.1", "0.3", "0", "1", "True", "0.99", "1e-20")]
PROBES["mindspore"] += [f"{listing}([(net := BatchNorm{n}d(2, affine={affine})), {rename}][0].{method}())"
                        for n in (1, 2, 3) for affine in (True, False)
                        for rename in ("0", "net.update_parameters_name('bn1.')", "net.update_parameters_name('')",
                                       "[net.update_parameters_name('a.'), net.update_parameters_name('b.c.')]")
                        for listing, method in (("list", "parameters_dict"),
                                                ("(lambda ps: [p.name for p in ps])", "trainable_params"))]
PROBES["mindspore"] += [f"len(repr(BatchNorm1d({arguments}))) > 0" for arguments in (
    "0", "-1", "2.0", "'4'", "None", "True", "4, eps='a'", "4, eps=0.0", "4, momentum='a'", "4, momentum=None",
    "4, momentum=-0.1", "4, momentum=1.1", "4, affine=1", "4, affine=None", "4, use_batch_statistics=1",
    "4, use_batch_statistics='x'", "4, data_format='NHWC'", "4, data_format='x'", "4, data_format=3", "4, track_running_stats=True",
    "4, bias=True", "4, dtype=None")] + ["BatchNorm3d(4, data_format='NCHW') is None"]
PROBES["mindspore"] += [f"values(BatchNorm1d(4, {name}_init={value}).{attribute})"
                        for name, attribute in (("gamma", "gamma"), ("beta", "beta"), ("moving_mean", "moving_mean"),
                                                ("moving_var", "moving_variance"))
                        for value in ("'ones'", "'zeros'", "'one'", "'zero'", "'Ones'", "'ZEROS'", "'nope'", "0.5", "2",
                                      "True", "None", "[1.0, 2.0, 3.0, 4.0]", "array(1.0, 2.0, 3.0, 4.0)",
                                      "array(1.0, 2.0, 3.0, 4.0, dtype='float16')", "array(1.0, 2.0, 3.0)")]
PROBES["mindspore"] += [f"BatchNorm1d(2{arguments}).set_train({mode})({x}) is None" for mode in (True, False)
                        for arguments in ("", ", use_batch_statistics=True", ", use_batch_statistics=False") for x in (
    "x(2)", "x(3, 2, 1, 1)", "x()", "x(3, 3)", "x(1, 3)", "x(3, 3, 2)", "x(0, 3)", "x(3, 3, dtype='int64')", "x(3, 2, dtype='bool')",
    "x(3, 2, dtype='complex64')", "x(3, 2, dtype='int32')", "x(0, 2, dtype='float64')", "[['a']]", "None", "3.0")]
PROBES["mindspore"] += [f"BatchNorm{n}d(2)(x({shape})) is None" for n in (2, 3) for shape in (
    "3, 2", "3, 2, 1", "3, 2, 2, 2", "3, 2, 2, 2, 2", "3, 2, 2, 2, 2, 2", "1, 2, 1, 1", "1, 2, 1, 1, 1", "3, 5, 2, 2", "3, 5, 2, 2, 2")]
PROBES["mindspore"] += [f"BatchNorm1d(2, eps={eps}).set_train({mode})({x}) is None" for mode in (True, False)
                        for eps in ("0.0", "-1e-5", "1.0", "1.5", "1e-60", "0", "1", "None", "'1'", "True", "float('nan')", "float('inf')")
                        for x in ("x(3, 2)", "x(1, 2)", "x(3, 3)", "x(3, 2, dtype='int64')", "x(2)")]
PROBES["mindspore"] += [f"BatchNorm1d(2, dtype=dtype('{own}')).set_train({mode})(x(3, 2, dtype='{other}')) is None"
                        for own in DTYPES for other in DTYPES + ("int64",) for mode in (True, False)]
PROBES["mindspore"] += ["BatchNorm1d(2).training", "BatchNorm1d(2).set_train().training", "BatchNorm3d(2).training",
                        "BatchNorm3d(2).set_train().training", "BatchNorm1d(2).set_train(False).training",
                        "[(net := BatchNorm1d(2)), net.set_train(), setattr(net, 'use_batch_statistics', False), net(x(3, 2)), "
                        "values(net.moving_mean)][4]"]
FLOAT16_LOSES_ITS_UPDATE = ("[(net := BatchNorm1d(2, dtype=dtype('float16')).set_train()), net(array([1.0, 2.0], [3.0, 5.0])), "
                           "values(net.moving_mean)][2]")
PROBES["mindspore"] += [FLOAT16_LOSES_ITS_UPDATE, FLOAT16_LOSES_ITS_UPDATE.replace("float16", "float32")]
