"""What the Lambda function uses of boto3's client for S3, over a dict, with faults as scripted.

Each call takes the next of ``faults``; without one all goes well. What it does then is what S3 does: an object put
with ``IfNoneMatch`` is not put over another, and a list shows what has been put at once.
"""

import io
from collections import deque
from collections.abc import Iterator
from typing import Any, Literal

from botocore.exceptions import ClientError

Fault = Literal["fine", "refused", "lost", "killed before", "killed after"]


class Killed(BaseException):
    """The function's process is gone."""


def refusal(code: str, operation: str) -> ClientError:
    """An error as S3 answers it."""
    return ClientError({"Error": {"Code": code, "Message": "because"}}, operation)


class FakeS3:
    """One bucket. ``objects`` maps keys to bodies."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.faults: deque[Fault] = deque()
        self.calls: list[str] = []

    def put_object(self, *, Bucket: str, Key: str, Body: bytes, IfNoneMatch: str | None = None, **_: object) -> None:
        """Put an object."""
        fault = self._fault("PutObject")
        if IfNoneMatch == "*" and Key in self.objects:
            raise refusal("PreconditionFailed", "PutObject")
        self.objects[Key] = Body
        if fault == "killed after":
            raise Killed
        if fault == "lost":
            raise refusal("InternalError", "PutObject")

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:
        """An object."""
        self._fault("GetObject")
        if Key not in self.objects:
            raise refusal("NoSuchKey", "GetObject")
        return {"Body": io.BytesIO(self.objects[Key])}

    def get_paginator(self, operation: str) -> "FakeS3":
        """Of ``list_objects_v2``; two keys a page."""
        assert operation == "list_objects_v2"
        return self

    def paginate(self, *, Bucket: str, Prefix: str, StartAfter: str) -> Iterator[dict[str, Any]]:
        """The pages."""
        self._fault("ListObjectsV2")
        keys = sorted(key for key in self.objects if key.startswith(Prefix) and key > StartAfter)
        for start in range(0, max(1, len(keys)), 2):
            page = [{"Key": key} for key in keys[start : start + 2]]
            yield {"Contents": page} if page else {}

    def _fault(self, operation: str) -> Fault:
        """The next fault. Those that come before anything is done are played here."""
        self.calls.append(operation)
        fault: Fault = self.faults.popleft() if self.faults else "fine"
        if fault == "refused":
            raise refusal("SlowDown", operation)
        if fault == "killed before":
            raise Killed
        return fault
