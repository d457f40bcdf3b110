"""Asks the stand-ins for AWS what tests need to know, or to have: streams, and all that is in them.

Plain requests, not signed: the stand-ins read who asks and in which region, and believe it.
"""

import base64
import gzip
import json
from typing import Any, Final
from xml.etree import ElementTree

import aiohttp
from aws_kinesis_agg.deaggregator import deaggregate_records

from tests.servers.moto import KEYS, REGION

_VERSIONS: Final = {"kinesis": "Kinesis_20131202", "firehose": "Firehose_20150804"}
_S3: Final = "{http://s3.amazonaws.com/doc/2006-03-01/}"


class AwsApi:
    """The services at one address."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def ask(self, service: str, operation: str, **content: Any) -> dict[str, Any]:
        """What a JSON service answers; anything but a success is an error."""
        headers = {
            **_signed(service),
            "x-amz-target": f"{_VERSIONS[service]}.{operation}",
            "content-type": "application/x-amz-json-1.1",
        }
        async with (
            aiohttp.ClientSession() as session,
            session.post(self.url, data=json.dumps(content), headers=headers) as answer,
        ):
            text = await answer.text()
            assert answer.status == 200, text
            said: dict[str, Any] = json.loads(text or "{}")
            return said

    async def s3(self, method: str, path: str, body: bytes = b"") -> bytes:
        """What S3 answers at a path; anything but a success is an error."""
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, self.url + path, data=body, headers=_signed("s3")) as answer,
        ):
            said = await answer.read()
            assert answer.status < 300, said
            return said

    async def make_user(self, name: str, *actions: str) -> dict[str, str]:
        """A user who may do this and no more; the keys, as an output's settings. Three requests."""
        await self._iam(Action="CreateUser", UserName=name)
        said = await self._iam(Action="CreateAccessKey", UserName=name)
        statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        await self._iam(Action="PutUserPolicy", UserName=name, PolicyName="p", PolicyDocument=policy)
        found = {element.tag.rpartition("}")[2]: element.text or "" for element in said.iter()}
        return {"access_key_id": found["AccessKeyId"], "secret_access_key": found["SecretAccessKey"]}

    async def _iam(self, **parameters: str) -> ElementTree.Element:
        form = {"Version": "2010-05-08", **parameters}
        async with (
            aiohttp.ClientSession() as session,
            session.post(self.url, data=form, headers=_signed("iam")) as answer,
        ):
            text = await answer.text()
            assert answer.status == 200, text
            return ElementTree.fromstring(text)  # noqa: S314  # our own server's

    async def make_stream(self, name: str, shards: int = 2) -> None:
        """A Kinesis stream, ready to be written to."""
        await self.ask("kinesis", "CreateStream", StreamName=name, ShardCount=shards)
        while (await self.summary(name))["StreamStatus"] != "ACTIVE":
            pass

    async def summary(self, name: str) -> dict[str, Any]:
        """What Kinesis says of a stream."""
        answer = await self.ask("kinesis", "DescribeStreamSummary", StreamName=name)
        summary: dict[str, Any] = answer["StreamDescriptionSummary"]
        return summary

    async def records(self, stream: str) -> list[tuple[str, bytes]]:
        """The records of a Kinesis stream, all shards, each with its partition key."""
        found = []
        for shard in (await self.ask("kinesis", "ListShards", StreamName=stream))["Shards"]:
            answer = await self.ask(
                "kinesis",
                "GetShardIterator",
                StreamName=stream,
                ShardId=shard["ShardId"],
                ShardIteratorType="TRIM_HORIZON",
            )
            iterator = answer["ShardIterator"]
            while True:
                answer = await self.ask("kinesis", "GetRecords", ShardIterator=iterator, Limit=10_000)
                found += [(record["PartitionKey"], base64.b64decode(record["Data"])) for record in answer["Records"]]
                iterator = answer.get("NextShardIterator")
                if iterator is None or not (answer["Records"] or answer["MillisBehindLatest"]):
                    break
        return found

    async def documents(self, stream: str) -> list[bytes]:
        """The documents in the records of a Kinesis stream, whatever their form."""
        return [document for _, data in await self.records(stream) for document in documents_in(data)]

    async def make_firehose(self, name: str) -> None:
        """A Firehose stream into a bucket of its own name."""
        configuration = f"<CreateBucketConfiguration><LocationConstraint>{REGION}</LocationConstraint>"
        await self.s3("PUT", f"/{name}", f"{configuration}</CreateBucketConfiguration>".encode())
        await self.ask(
            "firehose",
            "CreateDeliveryStream",
            DeliveryStreamName=name,
            ExtendedS3DestinationConfiguration={
                "RoleARN": "arn:aws:iam::123456789012:role/firehose",
                "BucketARN": f"arn:aws:s3:::{name}",
            },
        )

    async def remove_firehose(self, name: str) -> None:
        """Remove the stream; its bucket stays. An account has at most 50 streams, moto's too."""
        await self.ask("firehose", "DeleteDeliveryStream", DeliveryStreamName=name)

    async def objects(self, bucket: str) -> list[bytes]:
        """The contents of all objects in a bucket."""
        found: list[bytes] = []
        after = ""
        while True:
            listing = await self.s3("GET", f"/{bucket}?list-type=2&start-after={after}")
            keys = [key.text or "" for key in ElementTree.fromstring(listing).iter(f"{_S3}Key")]  # noqa: S314  # ours
            if not keys:
                return found
            found += [await self.s3("GET", f"/{bucket}/{key}") for key in keys]
            after = keys[-1]


def documents_in(data: bytes) -> list[bytes]:
    """The documents in one Kinesis record, as a consumer finds them: gzip, Amazon's own de-aggregator, or the bytes as
    they are."""
    if data.startswith(b"\x1f\x8b"):
        return gzip.decompress(data).splitlines()
    kinesis = {
        "kinesisSchemaVersion": "1.0",
        "sequenceNumber": "1",
        "approximateArrivalTimestamp": 1.0,
        "partitionKey": "key",
        "data": base64.b64encode(data).decode(),
    }
    users = deaggregate_records([{"kinesis": kinesis}])
    return [line for user in users for line in base64.b64decode(user["kinesis"]["data"]).splitlines()]


def _signed(service: str) -> dict[str, str]:
    scope = f"{KEYS['access_key_id']}/20261123/{REGION}/{service}/aws4_request"
    signature = "0" * 64
    return {
        "authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host;x-amz-date, Signature={signature}",
        "x-amz-date": "20261123T120000Z",
    }
