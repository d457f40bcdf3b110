"""The entry point: ``modeltail_lambda.handler.handler``. Settings and clients are made once, when Lambda loads this
module; a mistake in the settings fails the start and not the records.
"""

import os
import time
from collections.abc import Callable, Mapping
from typing import Any

import boto3  # type: ignore[import-untyped]
from botocore.config import Config

from .api_key import read_api_key
from .archive import Archive
from .bad import BadStore
from .consume import Destination, consume
from .index import Index
from .report import log, tell
from .settings import Settings, SettingsError, read_settings

RESERVE_PART = 0.25
"""No slice is begun in this last part of an invocation's time."""

_CLIENT = Config(connect_timeout=5, read_timeout=20, retries={"mode": "standard", "total_max_attempts": 3})
_SECRETS_CLIENT = Config(connect_timeout=2, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 3})
"""It asks for a few bytes, with the records waiting: a time limit is better spent on them."""


def _destinations(settings: Settings) -> tuple[list[Destination], BadStore | None]:
    destinations: list[Destination] = []
    aside = None
    if settings.bucket is not None:
        client = boto3.client("s3", config=_CLIENT)
        aside = BadStore(client, settings.bucket, settings.bad_prefix)
        if settings.archive:
            destinations.append(Archive(client, settings.bucket, settings.prefix))
    if settings.url is not None:
        destinations.append(
            Index(
                settings.url,
                _authorization(settings),
                max_bytes=settings.bulk_bytes,
                timeout_secs=settings.timeout_secs,
            )
        )
    return destinations, aside


def _authorization(settings: Settings) -> Callable[[], str | None]:
    """What gives the header for Elasticsearch, from the secret as it is at that time. It raises ``NoKey``."""
    key, secret = settings.api_key, settings.api_key_secret
    if secret is None:
        return lambda: None if key is None else f"ApiKey {key}"
    client = boto3.client("secretsmanager", config=_SECRETS_CLIENT)
    return lambda: f"ApiKey {read_api_key(client, secret)}"


try:
    _TO, _ASIDE = _destinations(read_settings(os.environ))
except SettingsError as error:
    log("ERROR", "The function is not set up right", reason=str(error))
    raise


def handler(event: Mapping[str, Any], context: Any) -> dict[str, list[dict[str, str]]]:
    """Take a batch of Kinesis records to S3 and Elasticsearch. The answer names the first that must come again."""
    secs = context.get_remaining_time_in_millis() / 1000
    report = consume(event, _TO, _ASIDE, time.monotonic() + secs, secs * RESERVE_PART)
    tell(report, context.function_name)
    return report.answer()
