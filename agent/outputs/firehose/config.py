"""Settings of the output `firehose`."""

from typing import Annotated

from msgspec import Meta

from agent.config.fields import Size
from agent.outputs.aws.options import AwsOptions


class FirehoseConfig(AwsOptions, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="firehose"):
    """Amazon Data Firehose, one document a line. At least once."""

    stream: Annotated[
        str, Meta(pattern=r"^[a-zA-Z0-9_.-]{1,64}$", description="Name of the Firehose stream, of the type Direct PUT.")
    ]
    record_bytes: Annotated[
        Size,
        Meta(
            ge=1,
            le=1000 * 1024,
            description="Documents that share a Firehose record: so many bytes of them, and at most 500. `1` puts each "
            "into one of its own.",
        ),
    ] = 256 * 1024
