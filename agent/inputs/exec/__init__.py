"""Input ``exec``: ``modeltail exec -- python serve.py``."""
