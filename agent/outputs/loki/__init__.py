"""Lines to Grafana Loki."""
