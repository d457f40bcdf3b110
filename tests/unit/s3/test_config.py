"""What the settings of the output `s3` take."""

import msgspec
import pytest

from agent.outputs.s3.config import S3Config


@pytest.mark.parametrize(
    ("bucket", "good"),
    [
        ("my-model-logs", True),
        ("Old_Bucket.of.2010", True),
        ("arn:aws:s3:eu-central-1:123456789012:accesspoint/logs", True),
        ("arn:aws-cn:s3-outposts:cn-north-1:123456789012:outpost/op-1/accesspoint/logs", True),
        ("s3://my-model-logs/", False),
        ("my-model-logs/logs", False),
        ("https://my-model-logs.s3.amazonaws.com", False),
        ("", False),
    ],
)
def test_bucket_is_a_name_and_no_address(bucket: str, good: bool) -> None:
    """An address is a mistake in the file, and found before anything is sent."""
    try:
        msgspec.convert({"type": "s3", "bucket": bucket}, S3Config)
    except msgspec.ValidationError:
        assert not good
    else:
        assert good
