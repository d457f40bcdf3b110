"""How much modeltail costs, beside what people use today, measured on the machine at hand: ``python -m bench``."""
