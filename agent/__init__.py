"""modeltail: the log collector that runs beside a machine-learning model."""

__version__ = "0.1.0"
