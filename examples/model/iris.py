"""Fisher's iris data: 150 flowers of three species, four measures each in centimetres.

R. A. Fisher, "The use of multiple measurements in taxonomic problems", Annals of Eugenics 7 (1936). Public domain.
"""

import csv
from pathlib import Path
from typing import NamedTuple

from examples.model.classifier import Row

FEATURES = ("sepal_length", "sepal_width", "petal_length", "petal_width")
HOLD_OUT_EVERY = 5
"""One flower in five is kept from training, to measure the accuracy with."""


class DataSet(NamedTuple):
    """Rows of measures, in the order of ``FEATURES``, and the species of each."""

    rows: list[Row]
    species: list[str]


def load() -> tuple[DataSet, DataSet]:
    """The flowers to train with, and those to test with."""
    train, test = DataSet([], []), DataSet([], [])
    with Path(__file__).with_name("iris.csv").open(newline="") as file:
        for number, line in enumerate(csv.DictReader(file)):
            part = train if number % HOLD_OUT_EVERY else test
            part.rows.append(tuple(float(line[feature]) for feature in FEATURES))
            part.species.append(line["species"])
    return train, test
