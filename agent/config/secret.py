"""Secrets: read from where they are kept, and kept out of every message."""

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

MAX_BYTES = 64 * 1024
_URL_PASSWORD = re.compile(r"://[^/@\s:]*:([^/@\s]+)@")


class SecretText(str):
    """A secret as the loader gives it: text in every way, except that its ``repr`` (and so that of the struct around
    it) shows nothing."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


def secret(text: str) -> SecretText:
    """The secret that ``text`` stands for: itself, or with ``file:`` in front what that file holds, without one line
    end behind it.

    Raises ``ValueError`` with the end of a sentence that begins "must be"; it names the file, never what is in it.
    """
    if not text.startswith("file:"):
        if not text:
            raise ValueError("a secret, but the text is empty")
        return SecretText(text)
    path = text.removeprefix("file:")
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ValueError(f"a readable file, but `{path}` is not: {reason}") from None
    if len(data) > MAX_BYTES:
        raise ValueError(f"a file of at most {MAX_BYTES // 1024} KiB, but `{path}` is larger")
    try:
        content = data.decode("utf-8-sig").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise ValueError(f"a file of UTF-8 text, but `{path}` is not") from None
    if not content:
        raise ValueError(f"a file with a secret in it, but `{path}` is empty")
    return SecretText(content)


def secrets_in(value: object) -> Iterator[str]:
    """Every secret in a configuration, and the password of every URL: what ``agent.log.setup`` is to conceal."""
    if isinstance(value, SecretText):
        yield str(value)
    elif isinstance(value, str):
        yield from _URL_PASSWORD.findall(value)
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from secrets_in(getattr(value, name))
    elif isinstance(value, dict):
        for item in value.values():
            yield from secrets_in(item)
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from secrets_in(item)


def without_url_passwords(text: str) -> str:
    """The text with ``***`` for the password of every URL in it."""
    return _URL_PASSWORD.sub(lambda found: found[0].replace(f":{found[1]}@", ":***@"), text)
