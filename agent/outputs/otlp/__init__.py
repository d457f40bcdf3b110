"""Log records over OTLP/HTTP."""
