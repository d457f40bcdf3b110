"""Input `unix`: a socket file for programs of this machine."""
