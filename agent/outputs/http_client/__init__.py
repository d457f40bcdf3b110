"""The HTTP client of the outputs: hosts, connections, bodies, and what an answer that is no success means."""
