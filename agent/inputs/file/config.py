"""Settings of the ``file`` input."""

from collections.abc import Iterator
from typing import Annotated, Literal

from msgspec import Meta

from agent.config.fields import Duration
from agent.inputs.assembly.config import Format, Multiline
from agent.inputs.options import LineOptions
from agent.queue.config import OnFull

PositiveDuration = Annotated[Duration, Meta(gt=0)]
Glob = Annotated[str, Meta(min_length=1, max_length=4095)]


class FileConfig(LineOptions, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="file"):
    """Log files of this machine, followed as they grow and rotate."""

    paths: Annotated[
        list[Glob],
        Meta(
            min_length=1,
            max_length=1000,
            description="Paths of the files; those without a leading `/` count from where the agent is started. "
            "`*`, `?`, `[…]` and `**` (any number of folders) are understood.",
        ),
    ]
    exclude: Annotated[
        list[Glob],
        Meta(
            max_length=1000,
            description="Files not to read: patterns for the whole path, or for the name alone if without `/`.",
        ),
    ] = []
    start: Annotated[
        Literal["head", "tail"],
        Meta(
            description="Where to begin with files that are there at the start and were never read: at their first "
            "line, or behind their last one. Files that appear later are read whole."
        ),
    ] = "head"
    ignore_older: Annotated[
        PositiveDuration | None,
        Meta(description="Leave alone files never read before whose last change is longer ago than this."),
    ] = None
    format: Annotated[
        Format,
        Meta(
            description="What a container runtime wrote around each line: `cri` (containerd, CRI-O), `docker` "
            "(json-file), `auto` for whichever of them a line has, if any."
        ),
    ] = "plain"
    multiline: Multiline = "auto"
    linger: Annotated[
        Duration,
        Meta(le=10, description="How long to let lines gather after a file has changed, so that they travel together."),
    ] = 0.25
    scan_interval: Annotated[
        Duration,
        Meta(
            ge=0.05,
            le=3600,
            description="Time between two looks at folders and file sizes, whether or not the system told of a change.",
        ),
    ] = 5.0
    partial_after: Annotated[
        Duration,
        Meta(
            gt=0,
            le=3600,
            description="How long a last line without its line end must rest before it is taken as it is.",
        ),
    ] = 5.0
    read_gzip: Annotated[
        bool,
        Meta(description="Read rotated files also after they were compressed (`.gz`). Otherwise they are left alone."),
    ] = False
    encoding: Annotated[
        str,
        Meta(
            description="How the text is written: `utf-8`, `utf-16` (a byte order mark says which, else "
            "little-endian), `utf-16-le`, `utf-16-be`, or a single-byte encoding that Python knows (`latin-1`, "
            "`cp1252` …)."
        ),
    ] = "utf-8"
    on_full: Annotated[
        OnFull,
        Meta(
            description="When the queue is full: stop reading until there is room, or drop the oldest or the newest "
            "records, counted."
        ),
    ] = "block"

    def problems(self) -> Iterator[tuple[str, str]]:
        """Mistakes that no field's type shows: the field to point at, and a sentence."""
        if self.encoding != "utf-8":
            from agent.inputs.file.encoding import encoding_named

            try:
                encoding_named(self.encoding)
            except ValueError as error:
                yield "encoding", str(error)
