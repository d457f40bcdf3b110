"""What the function is told by environment variables. Every mistake is said at once, before the first invocation."""

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from .api_key import can_be_api_key

PREFIX = "MODELTAIL_"
KNOWN = {
    "BUCKET",
    "ARCHIVE",
    "PREFIX",
    "BAD_PREFIX",
    "ELASTICSEARCH_URL",
    "API_KEY",
    "API_KEY_SECRET",
    "BULK_MIB",
    "TIMEOUT_SECS",
}
"""The settings' names, behind the prefix."""
_BULK_MIB_MAX = 90
_TIMEOUT_SECS_MAX = 600


class Settings(NamedTuple):
    """``bucket`` and ``url`` are the destinations; at least one is there. ``bad_prefix`` lies in ``bucket``."""

    bucket: str | None
    archive: bool
    prefix: str
    bad_prefix: str
    url: str | None
    api_key: str | None
    api_key_secret: str | None
    bulk_bytes: int
    timeout_secs: float


class SettingsError(Exception):
    """The function cannot work as it is set up. The message has a line for each mistake."""


def read_settings(environment: Mapping[str, str]) -> Settings:
    """The settings. Raises ``SettingsError``."""
    given = {
        name.removeprefix(PREFIX): value for name, value in environment.items() if name.startswith(PREFIX) and value
    }
    problems = [f"{PREFIX}{name} is not a setting" for name in sorted(given.keys() - KNOWN)]
    bucket, url = given.get("BUCKET"), given.get("ELASTICSEARCH_URL")
    archive = given.get("ARCHIVE", "true")
    if archive not in ("true", "false"):
        problems.append(f"{PREFIX}ARCHIVE must be true or false, not {archive!r}")
    if url is None and (bucket is None or archive == "false"):
        problems.append(f"there is nowhere to write to: set {PREFIX}BUCKET, {PREFIX}ELASTICSEARCH_URL or both")
    if url is not None and (urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc):
        problems.append(f"{PREFIX}ELASTICSEARCH_URL must be like https://host:9200")
    if "API_KEY" in given and "API_KEY_SECRET" in given:
        problems.append(f"give either {PREFIX}API_KEY or {PREFIX}API_KEY_SECRET")
    if "API_KEY" in given and not can_be_api_key(given["API_KEY"]):
        problems.append(f"{PREFIX}API_KEY must be the key as Elasticsearch encodes it, without spaces or line breaks")
    prefix, bad_prefix = given.get("PREFIX", "logs/"), given.get("BAD_PREFIX", "bad/")
    for name, value in (("PREFIX", prefix), ("BAD_PREFIX", bad_prefix)):
        if not value.endswith("/") or value.startswith("/"):
            problems.append(f"{PREFIX}{name} must end with a slash and not begin with one, unlike {value!r}")
    if bad_prefix.startswith(prefix):
        problems.append(f"{PREFIX}BAD_PREFIX must not lie below {PREFIX}PREFIX: a query of the logs would read it")
    bulk_mib = _number(given, "BULK_MIB", 5, _BULK_MIB_MAX, problems)
    timeout_secs = _number(given, "TIMEOUT_SECS", 30, _TIMEOUT_SECS_MAX, problems)
    if problems:
        raise SettingsError("the function is not set up right:\n" + "\n".join(f"- {problem}" for problem in problems))
    return Settings(
        bucket=bucket,
        archive=archive == "true" and bucket is not None,
        prefix=prefix,
        bad_prefix=bad_prefix,
        url=url,
        api_key=given.get("API_KEY"),
        api_key_secret=given.get("API_KEY_SECRET"),
        bulk_bytes=bulk_mib * 1024 * 1024,
        timeout_secs=float(timeout_secs),
    )


def _number(given: Mapping[str, str], name: str, default: int, most: int, problems: list[str]) -> int:
    """A whole number from 1 to ``most``."""
    text = given.get(name, str(default))
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text) <= most:
        problems.append(f"{PREFIX}{name} must be a whole number from 1 to {most}, not {text!r}")
        return default
    return int(text)
