"""Assembly: events out of lines. What a container runtime wrote around a line is taken off, its pieces are joined, and
lines that belong together (a traceback) become one.

cut ──▶ container (``formats``) ──▶ pieces joined, blocks joined (``stream``, by the rules of ``grammar``) ──▶ cut

A block of lines that holds nothing to join goes through as it is.
"""
