"""What each input takes, measured: ``python -m bench.inputs [NAME…]``."""
