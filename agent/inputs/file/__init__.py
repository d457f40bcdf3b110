"""Input ``file``: follows log files through growth, rotation, truncation and restarts."""
