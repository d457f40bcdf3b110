"""Outputs: where records go. One module or folder per kind, its config struct beside it."""
