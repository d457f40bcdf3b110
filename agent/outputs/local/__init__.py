"""The embedded store: an output that needs no server, and the search over it."""
