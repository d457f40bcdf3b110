"""Input `tcp`: connections that bring lines, syslog or GELF."""
