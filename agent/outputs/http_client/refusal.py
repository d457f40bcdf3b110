"""What a status that is no success means for a whole request, as an error of ``agent.errors``.

status                       the request
301 302 303 307 308, 407     goes nowhere until a person acts: pause
400, 422                     is refused for what is in it
401, 403                     is not allowed: pause
408, 425, 5xx                may have been taken; it is sent again
413                          is too large: split
429                          was too much just now
any other                    is not for this address: pause
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from agent.errors import NoAnswer, Paused, Refused, Retryable, SendError, TooLarge

LARGE_BYTES: Final = 128 * 1024
"""A request under which the connection breaks may have been refused for its size when it is this large, as sent. A
smaller one fits into the buffers on its way: it is read before it is refused, and the refusal arrives."""

MAX_SAID_CHARS: Final = 400

MAX_RETRY_AFTER_SECS: Final = 3600.0
"""A server that asks for a longer pause is asked again after this one."""


def refusal(status: int, headers: Mapping[str, str], said: str, whose: str) -> SendError:
    """The error that a status other than success stands for. ``said`` is what the server gave as the reason, in one
    bounded line, and ``whose`` names what should be at this address (``Elasticsearch``). Header names: any case.

    Nothing of the request was taken, except where it is ``NoAnswer``.
    """
    if status in (301, 302, 303, 307, 308):
        where = headers.get("location", "nowhere")[:200]
        return Paused(f"answered with a redirect to {where}; configure the final address")
    if status in (400, 422):
        return Refused(said)
    if status == 401:
        return Paused(f"wrong credentials: {said}")
    if status == 403:
        return Paused(f"not allowed: {said}")
    if status == 407:
        return Paused("the proxy wants authentication")
    if status == 413:
        return TooLarge("the request is larger than the server takes")
    retry_after = retry_after_secs(headers)
    if status == 429:
        return Retryable(f"overloaded: {said}", retry_after, overloaded=True)
    stated = said if said == f"status {status}" else f"status {status}: {said}"
    if status in (408, 425) or status >= 500:
        return NoAnswer(stated, retry_after)
    return Paused(f"{stated}: is this address {whose}'s?")


def retry_after_secs(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds the server asks to wait (RFC 9110, section 10.2.3: a number, or a date)."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), MAX_RETRY_AFTER_SECS)
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # the latter of numbers beyond all bounds
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return min(max((when - (now or datetime.now(UTC))).total_seconds(), 0.0), MAX_RETRY_AFTER_SECS)


def said(body: bytes) -> str:
    """The beginning of what a server gave as the reason, as one bounded line; empty if it said nothing."""
    return one_line(body[: 4 * MAX_SAID_CHARS].decode("utf-8", "replace"))


def one_line(text: str) -> str:
    """The same for text."""
    text = "".join(c if c.isprintable() else "�" for c in " ".join(text.split()))
    return text if len(text) <= MAX_SAID_CHARS else text[: MAX_SAID_CHARS - 1] + "…"
