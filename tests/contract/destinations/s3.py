"""The output ``s3`` before versitygw, with a layer of faults in between."""

from pathlib import Path
from typing import Any, ClassVar, Self

import msgspec

from agent.outputs.s3.config import S3Config
from agent.outputs.s3.contents import documents_in
from agent.outputs.s3.output import S3Output
from tests.contract.destinations.destination import Destination
from tests.fakes.aws_faults import Asked, AwsFaults, hangs_up, says
from tests.servers import ServerUnavailable, unavailable
from tests.servers.versitygw import KEYS, REGION, Versitygw

BUCKET = "logs"


def _puts(asked: Asked) -> bool:
    return asked.method == "PUT"


class S3(Destination):
    """One bucket."""

    recognises: ClassVar[bool] = True

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        try:
            self._server = Versitygw(folder)
        except ServerUnavailable as error:
            unavailable(error)
        self.front = AwsFaults(self._server.url, _puts)
        self.bucket = self._server.buckets / BUCKET

    async def __aenter__(self) -> Self:
        self._server.start()
        self.bucket.mkdir()
        await self.front.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.front.__aexit__(*exc)
        self._server.kill()

    def output(self, **settings: Any) -> S3Output:
        """With the owner's keys, and impatient."""
        config = {
            "id": "it",
            "type": "s3",
            "bucket": BUCKET,
            "endpoint": self.front.url,
            "region": REGION,
            "request_timeout": 5.0,
            **KEYS,
            **settings,
        }
        return S3Output(msgspec.convert(config, S3Config))

    def objects(self) -> dict[str, bytes]:
        """What is in the bucket, by key."""
        files = [path for path in sorted(self.bucket.rglob("dataset=*/**/*")) if path.is_file()]
        return {str(path.relative_to(self.bucket)): path.read_bytes() for path in files}

    async def received(self) -> list[str]:
        """The ids in all objects."""
        return [_id_of(document) for document in self._documents()]

    async def documents(self) -> dict[str, bytes]:
        """As they are in the objects."""
        return {_id_of(document): document for document in self._documents()}

    def _documents(self) -> list[bytes]:
        return [document for key, body in self.objects().items() for document in documents_in(key, body)]

    async def go_away(self) -> None:
        """Connections are refused."""
        await self.front.go_away()

    async def come_back(self) -> None:
        """At the same port."""
        await self.front.come_back()

    def lose_answer(self) -> None:
        """The next object is made, and the connection breaks within the answer: before it, the HTTP client would ask
        again by itself."""
        self.front.faults.append(hangs_up(taken=True, half_answered=True))

    def throttle(self, requests: int) -> None:
        """As S3 does it."""
        self.front.faults.extend([says(503, "SlowDown", "Please reduce your request rate.")] * requests)


def _id_of(document: bytes) -> str:
    record: str = msgspec.json.decode(document)["event"]["id"]
    return record
