"""Inputs: where records come from. One module or folder per kind, its config struct beside it."""
