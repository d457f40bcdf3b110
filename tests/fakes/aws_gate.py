"""What stands before a domain of Amazon OpenSearch Service: it recomputes the signature (Signature Version 4, "Create a
signed AWS API request" in the IAM user guide) from what came over the wire, with nothing of botocore.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, unquote

from aiohttp import web

MAX_SKEW = timedelta(minutes=5)
_FORM = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, SignedHeaders=([^,]+), "
    r"Signature=([0-9a-f]{64})"
)
_MUST_BE_SIGNED = {"host", "x-amz-date", "x-amz-content-sha256"}


class AwsGate:
    """Lets in who signs with one of ``keys`` (secrets by access key) for this region and service.

    ``clock`` is how far its clock is ahead of ours, ``expired`` are session tokens that have run out, ``let_in``
    counts.
    """

    def __init__(self, keys: Mapping[str, str], *, region: str = "eu-west-1", service: str = "es") -> None:
        self.keys = dict(keys)
        self.clock = timedelta(0)
        self.expired: set[str] = set()
        self.let_in = 0
        self._region = region
        self._service = service

    async def refusal(self, request: web.Request) -> web.Response | None:
        """The answer to a request that is not let in."""
        problem = self.problem(request.method, request.raw_path, request.headers, await request.read())
        if problem is None:
            self.let_in += 1
            return None
        return web.json_response({"message": problem}, status=403)

    def problem(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> str | None:
        """Why this request is not let in; ``target`` is path and query as on the wire. Header names: lower case, or any
        if the mapping does not mind."""
        found = _FORM.fullmatch(headers.get("authorization", ""))
        if found is None:
            return "Missing Authentication Token"
        access, day, region, service, signed, signature = found.groups()
        names = signed.split(";")
        if not set(names) >= _MUST_BE_SIGNED:
            return "not everything is signed that must be"
        if (region, service) != (self._region, self._service):
            return f"Credential should be scoped to a valid region, not '{region}'."
        token = headers.get("x-amz-security-token")
        if access not in self.keys or (token is not None and "x-amz-security-token" not in names):
            return "The security token included in the request is invalid."
        if token in self.expired:
            return "The security token included in the request is expired"
        stamp = headers["x-amz-date"]
        now, then = datetime.now(UTC) + self.clock, datetime.strptime(stamp + "+0000", "%Y%m%dT%H%M%SZ%z")
        if then < now - MAX_SKEW:
            return f"Signature expired: {stamp} is now earlier than {now - MAX_SKEW:%Y%m%dT%H%M%SZ}"
        if then > now + MAX_SKEW:
            return f"Signature not yet current: {stamp} is still later than {now + MAX_SKEW:%Y%m%dT%H%M%SZ}"
        checksum = hashlib.sha256(body).hexdigest()
        lines = [f"{name}:{' '.join(headers[name].split())}" for name in names]
        path, _, query = target.partition("?")
        request = [method, quote(path, safe="/-_.~"), _canonical(query), *lines, "", signed, checksum]
        scope = f"{day}/{region}/{service}/aws4_request"
        digest = hashlib.sha256("\n".join(request).encode()).hexdigest()
        key = b"AWS4" + self.keys[access].encode()
        for part in (*scope.split("/"), "\n".join(["AWS4-HMAC-SHA256", stamp, scope, digest])):
            key = hmac.digest(key, part.encode(), "sha256")
        if key.hex() != signature or headers["x-amz-content-sha256"] != checksum:
            return "The request signature we calculated does not match the signature you provided."
        return None


def _canonical(query: str) -> str:
    """A query with its names and values quoted in the one way that counts, and in order."""
    pairs = [pair.partition("=") for pair in query.split("&") if pair]
    quoted = [(quote(unquote(name), safe="-_.~"), quote(unquote(value), safe="-_.~")) for name, _, value in pairs]
    return "&".join(f"{name}={value}" for name, value in sorted(quoted))
