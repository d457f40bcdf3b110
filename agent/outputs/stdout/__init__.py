"""Documents on standard output, for trying things out."""
