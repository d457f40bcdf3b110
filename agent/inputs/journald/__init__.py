"""Input ``journald``: what services write into systemd's journal."""
