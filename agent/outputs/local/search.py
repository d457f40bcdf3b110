"""``modeltail search``: what was asked for, found in the store and written out."""

from collections import deque
from collections.abc import Callable, Iterable
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from agent.moment import parse_moment
from agent.outputs.local.reader import START, Found, Span, find, newest
from agent.outputs.local.show import show
from agent.query.language import Query, parse

POLL_SECS: Final = 0.25
"""How often ``follow`` looks for new records. A look costs about a third of a millisecond."""


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for. ``limit`` 0 is no limit; times are microseconds since 1970, both ends included."""

    store: Path
    query: Query = Query()
    since_us: int | None = None
    until_us: int | None = None
    limit: int = 50
    follow: bool = False


class Form(msgspec.Struct, frozen=True, kw_only=True):
    """How records are written: as stored, one a line, or for people, ``color`` and ``width`` as the terminal has
    them.
    """

    as_json: bool = False
    color: bool = False
    width: int | None = None


def search(
    store: Path, query: str, *, since: str | None, until: str | None, limit: int, follow: bool, now_us: int
) -> Search:
    """What a command line asks for. Raises ``ValueError`` with a sentence for its author."""
    since_us = None if since is None else parse_moment(since, now_us)
    until_us = None if until is None else parse_moment(until, now_us)
    if since_us is not None and until_us is not None and since_us > until_us:
        raise ValueError("The time after --since is later than the one after --until: nothing lies between.")
    return Search(store=store, query=parse(query), since_us=since_us, until_us=until_us, limit=limit, follow=follow)


def run(
    asked: Search, form: Form, out: BinaryIO, skipped: Callable[[Path, str], None], wait: Callable[[float], bool]
) -> int:
    """Write what is found, the oldest first, and say how many that were.

    Of more than ``limit`` matches, the newest are written. With ``follow``, goes on with what is stored from now on
    until ``wait`` (which waits that many seconds) says False. ``skipped`` is told of parts that cannot be read.
    """
    upto = newest(asked.store)
    span = Span(START, upto, asked.since_us, asked.until_us)
    count = 0
    if asked.limit:
        latest: deque[Found] = deque()
        with closing(find(asked.store, asked.query, span, newest_first=True, skipped=skipped)) as matches:
            latest.extendleft(islice(matches, asked.limit))
        records = sorted(latest, key=lambda found: found.time_us)
        count = _write(records, form, out)
    else:
        count = _write(find(asked.store, asked.query, span, newest_first=False, skipped=skipped), form, out)
    out.flush()
    while asked.follow and wait(POLL_SECS):
        span = span._replace(after=upto, upto=newest(asked.store))
        if span.upto > upto:
            count += _write(find(asked.store, asked.query, span, newest_first=False, skipped=skipped), form, out)
            out.flush()
            upto = span.upto
    return count


def _write(records: Iterable[Found], form: Form, out: BinaryIO) -> int:
    count = 0
    for found in records:
        if form.as_json:
            out.write(found.document + b"\n")
        else:
            out.write(show(found.document, found.time_us, color=form.color, width=form.width).encode())
        count += 1
    return count
