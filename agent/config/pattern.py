"""Regular expressions for lines that a stranger wrote: Google's RE2, whose time is linear in the line whatever the
pattern.

The standard library's engine can take hours for one line and one innocent-looking pattern. RE2 has no look-around and
no back-references; the error says so.
"""

from typing import Protocol

MAX_LENGTH = 4096
_MEMORY = 2 * 1024**2
_UNSUPPORTED = {"(?=": "look-ahead", "(?!": "look-ahead", "(?<=": "look-behind", "(?<!": "look-behind"}


class Found(Protocol):
    """A place where a pattern matches."""

    def groups(self) -> tuple[bytes | None, ...]:
        """What each group holds, the first one first; ``None`` for one that took no part."""
        ...

    def end(self) -> int:
        """Where the match ends, in bytes."""
        ...


class Compiled(Protocol):
    """A compiled pattern."""

    @property
    def groupindex(self) -> dict[str, int]:
        """The numbers of the named groups, from 1."""
        ...

    def search(self, text: bytes, /) -> Found | None:
        """A match, or ``None``, for the first place in ``text`` where the pattern matches.

        The text is taken as UTF-8; a byte that is not UTF-8 matches nothing, not even ``.``, and the rest of the line
        is searched all the same.
        """
        ...


def compile(pattern: str) -> Compiled:  # the word everyone knows it by
    """Compile a pattern. Raises ``ValueError`` with the reason, as the end of a sentence that begins "must be"."""
    if len(pattern) > MAX_LENGTH:
        raise ValueError(f"a regular expression of at most {MAX_LENGTH} characters")
    # Imported here: most configurations have no pattern, and then nothing of RE2 is loaded.
    try:
        import re2  # type: ignore[import-untyped]
    except ImportError:
        raise ValueError("left out, or RE2 installed: pip install 'modeltail[patterns]'") from None

    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MEMORY
    try:
        compiled: Compiled = re2.compile(pattern, options)
    except re2.error as error:
        raise ValueError(f"a regular expression (RE2 syntax): {_reason(error, pattern)}") from None
    return compiled


def _reason(error: Exception, pattern: str) -> str:
    said = error.args[0] if error.args else ""
    for mark, name in _UNSUPPORTED.items():
        if mark in pattern:
            return f"{name} (`{mark}`) is not supported, because it cannot be searched for in linear time"
    return said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
