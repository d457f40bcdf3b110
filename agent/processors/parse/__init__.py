"""Parse: lines of text, by the operator's own description or by that of a known server, into flat records.

A record made here is like a decoded JSON object: keys and the JSON text of their values. The normaliser puts it into
the places of the document by the same table of names (``docs/parsers.md``, ``docs/presets.md``).
"""
