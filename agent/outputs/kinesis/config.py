"""Settings of the output `kinesis`."""

from collections.abc import Iterator
from typing import Annotated, Literal

from msgspec import Meta

from agent.config.fields import Size
from agent.outputs.aws.options import AwsOptions


class KinesisConfig(AwsOptions, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="kinesis"):
    """Amazon Kinesis Data Streams. At least once; consumers recognise a repeat by `event.id`."""

    stream: Annotated[
        str,
        Meta(
            pattern=r"^([a-zA-Z0-9_.-]{1,128}|arn:aws[a-z-]*:kinesis:[a-z0-9-]+:[0-9]{12}:stream/[a-zA-Z0-9_.-]{1,128})$",
            description="Name of the stream, or its ARN when it is another account's.",
        ),
    ]
    aggregation: Annotated[
        Literal["gzip", "kpl", "none"],
        Meta(
            description="What a Kinesis record holds: `gzip` many documents, one a line, compressed; `kpl` many in the "
            "format of Amazon's producer library; `none` one document."
        ),
    ] = "gzip"
    record_bytes: Annotated[
        Size,
        Meta(
            ge=1024,
            le=10 * 1024**2,
            description="Documents that share a Kinesis record: so much of them, before compression.",
        ),
    ] = 256 * 1024
    partition_key: Annotated[
        str,
        Meta(
            pattern=r"^(random|source|model|field:.+)$",
            max_length=300,
            description="What decides the shard: `random` spreads evenly; `source` keeps together what one file of one "
            "host wrote, `model` what one model wrote, `field:log.level` what has the same value there.",
        ),
    ] = "random"

    def problems(self) -> Iterator[tuple[str, str]]:
        """Mistakes that no single field shows: the field to point at, and a sentence."""
        yield from AwsOptions.problems(self)
        if self.stream.startswith("arn:") and self.region is not None and self.stream.split(":")[3] != self.region:
            yield "stream", "the ARN names another region than `region`"
