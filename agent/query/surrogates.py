"""Half surrogate pairs in JSON text: ``"\\ud83d"`` alone, which Python writes and no Unicode text can hold.

The store keeps them as they are. Only what is looked at (by the index, by a search, by a person) has U+FFFD in their
place.
"""

import re
from typing import Final

_ESCAPES: Final = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\."
)


def mend(json_text: bytes) -> bytes:
    """The same JSON text with ``\\ufffd`` for every half pair. Whole pairs and escaped backslashes stay."""
    return _ESCAPES.sub(lambda escape: rb"\ufffd" if escape[1] else escape[0], json_text)
