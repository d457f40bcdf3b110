"""Settings of the ``journald`` input."""

from collections.abc import Iterator
from typing import Annotated, Literal

from msgspec import Meta

from agent.inputs.options import LineOptions, Linger
from agent.queue.config import OnFull

Unit = Annotated[str, Meta(min_length=1, max_length=256)]
Folder = Annotated[str, Meta(min_length=1, max_length=4095)]
Match = Annotated[str, Meta(pattern=r"^[A-Z0-9_]{1,64}=", max_length=4096)]


class JournaldConfig(LineOptions, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="journald"):
    """Entries of systemd's journal, read through `journalctl`."""

    units: Annotated[
        list[Unit],
        Meta(max_length=100, description="Take only what these units wrote, and what systemd says of them."),
    ] = []
    matches: Annotated[
        list[Match],
        Meta(
            max_length=100,
            description="Take only entries with these fields, as `journalctl` matches them: values of the same field "
            "are alternatives, different fields must all fit.",
        ),
    ] = []
    path: Annotated[
        Folder | None,
        Meta(
            description="Folder of journal files to read in place of this machine's own, whichever machine wrote them."
        ),
    ] = None
    start: Annotated[
        Literal["head", "tail"],
        Meta(description="Where to begin when nothing was read yet: at the oldest entry, or behind the newest one."),
    ] = "tail"
    linger: Linger = 0.25
    on_full: Annotated[
        OnFull,
        Meta(
            description="When the queue is full: stop reading until there is room, or drop the oldest or the newest "
            "records, counted."
        ),
    ] = "block"

    def problems(self) -> Iterator[tuple[str, str]]:
        """What the fields' types cannot say."""
        for i, unit in enumerate(self.units):
            if any(character in unit for character in "*?["):
                yield f"units[{i}]", "name the unit in full; journalctl would not see units that come later"
