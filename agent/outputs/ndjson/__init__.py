"""Documents in a file, one a line."""
