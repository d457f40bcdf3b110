"""The API key for Elasticsearch, from Secrets Manager. What is wrong with it is said without a word of the secret."""

import re
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

MAX_SAID_CHARS = 400

_FITS_A_HEADER = re.compile(r"[!-~]+")


class NoKey(Exception):
    """There is no key to send with, so nothing was sent. The records come again."""


def read_api_key(client: Any, secret: str) -> str:
    """The key that a secret holds now. ``client`` is boto3's for Secrets Manager. Raises ``NoKey``."""
    try:
        held = client.get_secret_value(SecretId=secret)
    except (ClientError, BotoCoreError) as error:
        said = " ".join(str(error).split())[:MAX_SAID_CHARS]
        raise NoKey(f"the API key cannot be read from Secrets Manager: {said}") from error
    key: str = held.get("SecretString", "").strip()
    if not can_be_api_key(key):
        raise NoKey("what the secret holds is no API key: it must be one as Elasticsearch encodes it, as text")
    return key


def can_be_api_key(text: str) -> bool:
    """Whether it can stand in a header. One that cannot would be quoted in the error of the client that tries."""
    return _FITS_A_HEADER.fullmatch(text) is not None
