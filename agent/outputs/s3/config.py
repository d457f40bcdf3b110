"""Settings of the output `s3`."""

from collections.abc import Iterator
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from agent.config.fields import Size
from agent.delivery.config import BatchAge, BatchBytes, BatchRecords, DeliveryConfig
from agent.form import Form
from agent.outputs.aws.options import AwsOptions, NonEmpty


class S3Delivery(DeliveryConfig, kw_only=True, forbid_unknown_fields=True):
    """Few large objects: each costs a request to write, and another to each that reads."""

    batch_bytes: BatchBytes = 16 * 1024**2
    batch_records: BatchRecords = 100_000
    batch_age: BatchAge = 60.0


class S3Config(AwsOptions, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="s3"):
    """Objects in S3, one for each hour a batch touches. Each record is stored exactly once."""

    bucket: Annotated[
        Annotated[
            str,
            # A name, or the ARN of an access point; anything else botocore refuses with both patterns in full.
            Meta(
                pattern=r"^(?:[A-Za-z0-9._-]{1,255}|arn:[a-z-]+:s3[^\s]*)$", max_length=300, examples=["my-model-logs"]
            ),
        ],
        Meta(description="The bucket's name, without `s3://`; or the ARN of an access point."),
    ]
    prefix: Annotated[
        Annotated[str, Meta(pattern=r"^(?:[^/\s][^\s]*)?$", max_length=500, examples=["logs/"])],
        Meta(description="What every object's name begins with, for example `logs/`."),
    ] = ""
    format: Annotated[
        Literal["ndjson.gz", "parquet"],
        Meta(description="Documents one a line, compressed; or columns (needs the extra `parquet`)."),
    ] = "ndjson.gz"
    sse: Annotated[
        Literal["AES256", "aws:kms"] | None,
        Meta(description="How S3 encrypts the objects. Default: as the bucket says."),
    ] = None
    kms_key_id: Annotated[NonEmpty | None, Meta(description="The key, with `sse: aws:kms`.")] = None
    storage_class: Annotated[
        Literal["STANDARD", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR"] | None,
        Meta(description="Storage class of the objects. Default: as S3 has it, `STANDARD`."),
    ] = None
    part_bytes: Annotated[
        Size, Meta(ge=5 * 1024**2, le=5 * 1024**3, description="Larger objects are sent in parts of this size.")
    ] = 16 * 1024**2
    delivery: Annotated[
        S3Delivery,
        Meta(
            description="Batching, concurrency and retry. Here `batch_bytes` is 16MiB, `batch_records` 100000 and "
            "`batch_age` 60s unless given.",
        ),
    ] = msgspec.field(default_factory=S3Delivery)

    @property
    def form(self) -> Form | None:
        """Lines of documents, for objects of such lines."""
        return Form.NDJSON if self.format == "ndjson.gz" else None

    @property
    def root(self) -> str:
        """The prefix as names begin with it."""
        return self.prefix if not self.prefix or self.prefix.endswith("/") else f"{self.prefix}/"

    def problems(self) -> Iterator[tuple[str, str]]:
        """Mistakes that no single field shows: the field to point at, and a sentence."""
        yield from AwsOptions.problems(self)
        if self.kms_key_id is not None and self.sse != "aws:kms":
            yield "kms_key_id", "`kms_key_id` needs `sse: aws:kms`"
