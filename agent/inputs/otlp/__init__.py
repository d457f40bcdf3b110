"""Input ``otlp``: log records of OpenTelemetry SDKs and collectors, over HTTP."""
