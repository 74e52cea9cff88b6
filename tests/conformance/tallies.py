"""What a comparison found: rows, how many agreed, which deviate and why, and what nobody can explain."""

from collections import Counter
from dataclasses import dataclass, field

from bnref import states

KNOWN = {**states.DEVIATIONS,
         "lost": "MindSpore's layer of float16 makes its update in a float32 copy, which is lost; bnref keeps it.",
         "overflow": "A PyTorch layer of float16 keeps 1/sqrt(W) in float16, where it can be infinite; bnref's is exact.",
         "uncounted": "A PyTorch layer that uses none of its arrays takes any number of channels; bnref wants num_features."}

TALLIES = []  # of this run, in order


@dataclass
class Tally:
    """How many rows of a comparison agreed, which deviate for a known reason, and what is unexplained."""

    what: str
    rows: int = 0
    agreed: int = 0
    known: Counter = field(default_factory=Counter)
    unexplained: list = field(default_factory=list)

    def add(self, problems, deviations=()):
        """Count a row by what was found: problems beat deviations."""
        self.rows += 1
        if problems:
            self.unexplained.append(problems[0])
        elif deviations:
            self.known.update(deviations)
        else:
            self.agreed += 1

    def note(self, agrees, sentence):
        """Count a row that agrees or is unexplained."""
        self.add([] if agrees else [sentence])

    @property
    def deviating(self):
        return self.rows - self.agreed - len(self.unexplained)


def table(tallies):
    """The lines of the table that a run ends with."""
    lines = [f"{'what':<58}{'rows':>7}{'agreed':>8}{'known':>7}{'unexplained':>13}"]
    lines += [f"{t.what:<58}{t.rows:>7}{t.agreed:>8}{t.deviating:>7}{len(t.unexplained):>13}" for t in tallies]
    total = [sum(column) for column in zip(*((t.rows, t.agreed, t.deviating, len(t.unexplained)) for t in tallies))]
    lines += [f"{'all':<58}{total[0]:>7}{total[1]:>8}{total[2]:>7}{total[3]:>13}", "", "known deviations:"]
    counts = sum((t.known for t in tallies), Counter())
    lines += [f"{count:>7}  {KNOWN[name]}" for name, count in sorted(counts.items())]
    lines += ["", f"unexplained: {total[3]}"]
    return lines + [f"  {t.what}: {sentence}" for t in tallies for sentence in t.unexplained[:5]]
