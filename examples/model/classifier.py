"""A Gaussian naive Bayes classifier: small enough to read, real enough to be right about 19 times out of 20.

It treats every feature as normally distributed within a class and independent of the others, and answers with the
classes' probabilities given a row of features.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, variance
from typing import Self

Row = tuple[float, ...]

SMALLEST_VARIANCE = 1e-9
"""A feature that is the same in all rows of a class would otherwise divide by zero."""


@dataclass(frozen=True)
class _Class:
    log_prior: float
    means: Row
    variances: Row

    def log_likelihood(self, row: Sequence[float]) -> float:
        return self.log_prior + sum(
            -0.5 * (math.log(2 * math.pi * spread) + (value - mean) ** 2 / spread)
            for value, mean, spread in zip(row, self.means, self.variances, strict=True)
        )


@dataclass(frozen=True)
class NaiveBayes:
    """A trained classifier."""

    classes: Mapping[str, _Class]

    @classmethod
    def fit(cls, rows: Sequence[Row], labels: Sequence[str]) -> Self:
        """Learn from rows of equal length and one label per row; each label must have two rows at least."""
        classes = {}
        for label in sorted(set(labels)):
            columns = list(zip(*(row for row, its in zip(rows, labels, strict=True) if its == label), strict=True))
            classes[label] = _Class(
                math.log(len(columns[0]) / len(rows)),
                tuple(map(fmean, columns)),
                tuple(max(variance(column), SMALLEST_VARIANCE) for column in columns),
            )
        return cls(classes)

    def probabilities(self, row: Sequence[float]) -> dict[str, float]:
        """The probability of each class, adding up to 1."""
        logs = {label: its.log_likelihood(row) for label, its in self.classes.items()}
        most = max(logs.values())  # taken off before exp, so that the largest is 1 and nothing underflows to 0/0
        weights = {label: math.exp(value - most) for label, value in logs.items()}
        total = sum(weights.values())
        return {label: weight / total for label, weight in weights.items()}

    def accuracy(self, rows: Sequence[Row], labels: Sequence[str]) -> float:
        """The share of rows whose most probable class is their label."""
        right = 0
        for row, label in zip(rows, labels, strict=True):
            found = self.probabilities(row)
            right += max(found, key=found.__getitem__) == label
        return right / len(rows)
