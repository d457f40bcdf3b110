"""Lines out of a stream that comes in pieces: a pipe, a connection."""

from agent.inputs.lines import At, Cut, cut, room_for_line


class LineAssembler:
    """Lines out of bytes that come in pieces. Holds at most one unfinished line, and no more of it than the limit."""

    def __init__(self, max_line: int) -> None:
        self._max_line = max_line
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._position = 0
        self._at = At.LINE

    def feed(self, data: bytes, *, ended: bool = False) -> list[Cut]:
        """The lines finished by ``data``; with ``ended`` also the unfinished one."""
        self._held.append(data)
        self._held_bytes += len(data)
        # Joined only when there is something to find, or a line in a thousand pieces would be copied a thousand times.
        if not (ended or b"\n" in data or self._held_bytes >= room_for_line(self._max_line) or self._at is not At.LINE):
            return []
        whole = b"".join(self._held)
        begin = self._position
        cuts = cut(whole, begin, self._at, self._max_line, ended=ended)
        if cuts:
            self._position, self._at = cuts[-1].end, cuts[-1].at
        rest = whole[self._position - begin :]
        self._held, self._held_bytes = [rest], len(rest)
        return cuts
