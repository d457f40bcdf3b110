"""The configuration: YAML text in, typed structs out, every mistake reported at once."""
