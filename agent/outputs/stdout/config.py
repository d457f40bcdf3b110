"""Settings of the output `stdout`."""

from typing import Annotated

from msgspec import Meta

from agent.outputs.options import OutputOptions


class StdoutConfig(OutputOptions, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="stdout"):
    """Documents on standard output, one a line: for trying things out, and for containers whose output is collected."""

    pretty: Annotated[bool, Meta(description="Indent the documents for reading; they then take several lines.")] = False
