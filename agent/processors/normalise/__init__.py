"""Normalise: lines as models write them into the places of the document (``docs/document.md``).

lines ── decode strictly ──▶ records ── same keys together ──▶ columns ──▶ tables
           │ refused            │ shaped: laid flat first         │ misfits
           ▼                    ▼                                 ▼
        tolerant, text       shapes                     record (the reference path)
"""

from agent.processors.normalise.normaliser import Normaliser, NormaliseSettings, Parser, normalise

__all__ = ["NormaliseSettings", "Normaliser", "Parser", "normalise"]
