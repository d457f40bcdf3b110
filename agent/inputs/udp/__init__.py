"""Input `udp`: datagrams of lines, syslog or GELF."""
