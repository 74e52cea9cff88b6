"""Which layers are the same: a search over the product of two machines.

Two layers are put side by side, in the same mode, and receive the same calls: forward, train, eval.  What a call does
is looked up in `bnref.states`.  Values are not computed; what is followed is the relation between the two layers'
running statistics, which a forward pass either keeps, makes or breaks.  That leaves a handful of joint states, so a
breadth-first search visits all of them and finds a shortest sequence of calls that tells the two layers apart, or none.
"""

from collections import deque
from fractions import Fraction
from functools import cache
from itertools import product
from typing import NamedTuple

import bnref
from bnref import states
from bnref.layer import momentum_kind

from .decisions import decide

# ---- The layers -----------------------------------------------------------------------------------------------------


class Torch(NamedTuple):
    """How ``torch.nn.BatchNorm1d`` can be constructed; momentum is the decimal that was written."""

    track_running_stats: bool
    momentum: str | None
    affine: bool
    bias: bool


class MindSpore(NamedTuple):
    """How ``mindspore.nn.BatchNorm1d`` can be constructed; momentum is the decimal that was written."""

    use_batch_statistics: bool | None
    momentum: str
    affine: bool


def _momenta(framework):
    # One decimal for each class.  "between" is there twice, with the defaults of both frameworks: so a pair can
    # match (0.1 and 0.9) and can fail to (0.1 and 0.1, the mistake of everybody who does not convert).
    between = sorted(str(states.EXAMPLES[name]["momentum"]["between"]) for name in states.EXAMPLES if name in states.AXES)
    written = []
    for kind in states.AXES[framework]["momentum"]:
        example = states.EXAMPLES[framework]["momentum"][kind]
        written += between if kind == "between" else [None if example is None else f"{example:g}"]
    return tuple(written)


AXES = {
    Torch: {name: states.AXES["torch"][name] for name in Torch._fields} | {"momentum": _momenta("torch")},
    MindSpore: {name: states.AXES["mindspore"][name] for name in MindSpore._fields} | {"momentum": _momenta("mindspore")},
}


def configurations(kind):
    """Every way to construct a framework's layer, momentum running through its classes."""
    return [kind(*values) for values in product(*AXES[kind].values())]


def layer(configuration, features=3):
    """Construct it in bnref."""
    settings = configuration._asdict()
    settings["momentum"] = None if configuration.momentum is None else float(configuration.momentum)
    module = bnref.torch if isinstance(configuration, Torch) else bnref.mindspore
    return module.BatchNorm1d(features, **settings)


@cache
def behaviour(configuration, training, values="many", input="float32"):
    """What the layer does at a call, from the decision tables."""
    momentum = None if configuration.momentum is None else float(configuration.momentum)
    common = dict(training=training, affine=configuration.affine, momentum=momentum_kind(momentum),
                  ndim=2, values=values, input=input)
    if isinstance(configuration, Torch):
        tracks = configuration.track_running_stats
        return states.behaviour(states.TorchState(
            track_running_stats=tracks, flag=tracks, bias=configuration.bias, **common))
    return states.behaviour(states.MindSporeState(use_batch_statistics=configuration.use_batch_statistics, **common))


# ---- The machine of a pair ------------------------------------------------------------------------------------------

CALLS = ("forward", "train", "eval")
LETTERS = {"forward": "F", "train": "T", "eval": "E"}
EQUAL, UNRELATED, NEVER_READ = "known equal", "unrelated", "never read"


class Joint(NamedTuple):
    """A joint state: the mode, the relation between the statistics, and whether the cumulative averages have begun."""

    training: bool
    statistics: str
    begun: bool = False


def weight_of_new(configuration, training, begun):
    """What a new observation weighs: an exact number, or "1/k" from the second batch of a cumulative average on."""
    effect = behaviour(configuration, training).mean  # the variance's is the same, with at least two values
    if effect == "averaged":
        # A constant can equal 1/k at one k.  That changes nothing: only the weight 1 makes statistics equal that are
        # not, and statistics that were equal have parted at k = 1, unless the constant is 1.
        return "1/k" if begun else Fraction(1)
    if effect in (None, "kept"):
        return Fraction(0)
    if effect == "replaced":
        return Fraction(1)
    written = Fraction(configuration.momentum)
    return written if isinstance(configuration, Torch) else 1 - written


@cache
def scale(configuration, training):
    """The values by which the output is scaled and shifted, as constructed."""
    built, applies = layer(configuration, 1), behaviour(configuration, training).applies
    return tuple(float(getattr(built, name)[0]) if name in applies else default
                 for name, default in zip(built.names[2:], (1.0, 0.0)))


@cache
def reads(configuration):
    """Does the layer ever normalise by its running statistics?"""
    return any(behaviour(configuration, training).normalises_by == "running" for training in (True, False))


def initial(one, other, training, watch):
    """The joint state in which two layers start."""
    built = [layer(configuration, 1) for configuration in (one, other)]
    arrays = [[getattr(each, name) for name in each.names[:2]] for each in built]
    if any(a is not None and b is not None and a != b for a, b in zip(*arrays)):
        return Joint(training, UNRELATED)
    unread = watch == "outputs" and not reads(one) and not reads(other)
    return Joint(training, NEVER_READ if unread else EQUAL)


def step(one, other, joint, call):
    """The joint state after a call."""
    if call != "forward":
        return joint._replace(training=call == "train")
    w, v = (weight_of_new(each, joint.training, joint.begun) for each in (one, other))
    statistics = joint.statistics
    if statistics != NEVER_READ:
        # new - new' = (1 - w) old - (1 - v) old' + (w - v) batch, where the batch is a new symbol: zero if and only
        # if w = v, and besides either nothing of the old is left or the old were equal.
        statistics = EQUAL if w == v and (w == 1 or statistics == EQUAL) else UNRELATED
    begun = joint.begun or any(behaviour(each, joint.training).mean == "averaged" for each in (one, other))
    return Joint(joint.training, statistics, begun)


def agree(one, other, joint):
    """Do two layers in this joint state give the same output for every batch?"""
    here = [behaviour(each, joint.training).normalises_by for each in (one, other)]
    if scale(one, joint.training) != scale(other, joint.training) or here[0] != here[1]:
        return False
    return here[0] == "batch" or joint.statistics == EQUAL


def tell_apart(one, other, training=True, watch="outputs"):
    """Find a shortest sequence of calls that tells two layers apart.

    Parameters
    ----------
    one, other : Torch or MindSpore
    training : bool
        The mode in which both start.
    watch : {"outputs", "statistics"}
        What is compared: the output of every forward pass, or the running statistics after it.  A layer without
        running statistics counts as one whose statistics stay as they began.

    Returns
    -------
    tuple of str, or None
        The last call is the forward pass that shows the difference.  None: there is no such sequence.
    """
    start = initial(one, other, training, watch)
    seen, queue = {start}, deque([(start, ())])
    while queue:
        joint, calls = queue.popleft()
        for call in CALLS:
            after = step(one, other, joint, call)
            apart = after.statistics == UNRELATED if watch == "statistics" else not agree(one, other, joint)
            if call == "forward" and apart:
                return (*calls, call)
            if after not in seen:
                seen.add(after)
                queue.append((after, (*calls, call)))
    return None


def reachable(one, other, training=True):
    """Every joint state that two layers can be led into, with the calls that lead there, shortest first."""
    start = initial(one, other, training, "outputs")
    found, queue = {start: ()}, deque([start])
    while queue:
        joint = queue.popleft()
        for call in CALLS:
            after = step(one, other, joint, call)
            if after not in found:
                found[after] = (*found[joint], call)
                queue.append(after)
    return found


# ---- The atlas ------------------------------------------------------------------------------------------------------

SAME, OUTPUTS, DIFFERENT = "the same", "the same outputs", "different"


class Verdict(NamedTuple):
    """How two layers compare."""

    kind: str                              # SAME, OUTPUTS (statistics differ that neither reads) or DIFFERENT
    from_training: tuple[str, ...] | None  # a shortest distinguishing sequence, when both start in training
    from_inference: tuple[str, ...] | None


def compare(one, other):
    """Compare two layers under all sequences of calls.

    Where the outputs are always the same and the statistics are not, the sequences tell the statistics apart.
    """
    for kind, watch in ((DIFFERENT, "outputs"), (OUTPUTS, "statistics")):
        found = [tell_apart(one, other, training, watch) for training in (True, False)]
        if any(found):
            return Verdict(kind, *found)
    return Verdict(SAME, None, None)


@cache
def learned(configuration):
    """Which roles are learned, under PyTorch's names; the same in both modes."""
    names = layer(configuration, 1).names[2:]
    training, inference = (behaviour(configuration, mode).learns for mode in (True, False))
    assert training == inference
    return tuple(role for role, name in zip(("weight", "bias"), names) if name in training)


def atlas():
    """{(one, other): Verdict} for every pair of a PyTorch layer and a MindSpore layer."""
    return {(one, other): compare(one, other) for one in configurations(Torch) for other in configurations(MindSpore)}


def tabled(pairs):
    """The atlas as a decision table over what the two layers are constructed with."""
    axes = {f"PyTorch's {name}": values for name, values in AXES[Torch].items()}
    axes |= {f"MindSpore's {name}": values for name, values in AXES[MindSpore].items()}
    size = len(Torch._fields)

    def answer(**chosen):
        values = tuple(chosen.values())
        verdict = pairs[Torch(*values[:size]), MindSpore(*values[size:])]
        return verdict.kind, short(verdict.from_training), short(verdict.from_inference)

    return decide(axes, answer)


def classes():
    """Gather what always gives the same outputs: every configuration of both frameworks, in groups."""
    found = []
    for configuration in configurations(Torch) + configurations(MindSpore):
        for group in found:
            if compare(configuration, group[0]).kind != DIFFERENT:
                group.append(configuration)
                break
        else:
            found.append([configuration])
    return found


def character(configuration):
    """What a layer normalises by in training and in inference, and what becomes of the statistics that it reads."""
    training, inference = (behaviour(configuration, mode) for mode in (True, False))
    effect = (training.mean or "never updated") if reads(configuration) else NEVER_READ
    return training.normalises_by, inference.normalises_by, effect


def settings(group, kind):
    """How the members of a group that belong to one framework are constructed: {argument: values}, in words."""
    members = [configuration for configuration in group if isinstance(configuration, kind)]
    words = []
    for name, values in AXES[kind].items():
        used = [value for value in values if any(getattr(member, name) == value for member in members)]
        if used and len(used) < len(values):
            words.append(f"`{name}={' or '.join(map(str, used))}`")
    return ", ".join(words) if members else "none"


def short(calls):
    """A sequence of calls in letters."""
    return "".join(LETTERS[call] for call in calls) if calls else "–"


# ---- Outside of the conditions ---------------------------------------------------------------------------------------


def outside(pairs):
    """How layers that are the same compare for a batch with one value per channel, or none.

    Returns
    -------
    axes, answer : for `tools.decisions.decide`
        The answer is what PyTorch's layer does and what its counterparts do, twice "alike" where output and
        statistics come about the same way; None where there is no counterpart.
    """
    counterparts = {}
    for (one, other), verdict in pairs.items():
        if verdict.kind == SAME:
            counterparts.setdefault(one, []).append(other)

    def answer(training, values, **settings):
        one = Torch(**settings)
        here = behaviour(one, training, values)
        theirs = [behaviour(other, training, values) for other in counterparts.get(one, ())]
        if not theirs:
            return None
        if not any(_differs(here, there) for there in theirs):
            return "alike", "alike"
        words, = {_in_words(there) for there in theirs}
        return _in_words(here), words

    return AXES[Torch] | {"training": states.AXES["torch"]["training"], "values": ("none", "one")}, answer


def _differs(here, there):
    if here.raises or there.raises:
        return bool(here.raises) != bool(there.raises)
    moved = [[effect if effect != "kept" else None for effect in (does.mean, does.var)] for does in (here, there)]
    return here.normalises_by != there.normalises_by or moved[0] != moved[1] or "undefined" in there.deviates


def _in_words(does):
    if does.raises:
        return f"`{does.raises}`"
    parts = {"batch": ["normalises by the batch"], "running": ["normalises by running statistics"],
             "nothing": ["gives an empty output"]}[does.normalises_by]
    if "undefined" in does.deviates:
        parts.append("statistics undefined")
    if does.var == "NaN":
        parts.append("variance becomes NaN")
    return ", ".join(parts)
