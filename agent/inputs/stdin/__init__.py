"""Input ``stdin``: ``model | modeltail run``."""
