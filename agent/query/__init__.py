"""The search language, and which records a query asks for: in the embedded store, and on their way to an output."""
