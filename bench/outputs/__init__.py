"""What each output costs, measured: ``python -m bench.outputs [NAME…]``."""
