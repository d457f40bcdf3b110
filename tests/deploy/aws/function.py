"""The function as it is deployed, and what it is given, with moto in AWS's place."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]

from tests.servers.moto import KEYS, REGION, MotoServer

ROOT = Path(__file__).parents[3]
HANDLER = "modeltail_lambda.handler.handler"


def built(target: Path) -> Path:
    """The zip, built into this file."""
    subprocess.run([sys.executable, "deploy/aws/lambda/build.py", str(target)], cwd=ROOT, check=True)
    return target


def client(server: MotoServer, service: str) -> Any:
    """boto3's client of a service there."""
    return boto3.client(
        service,
        endpoint_url=server.url,
        region_name=REGION,
        aws_access_key_id=KEYS["access_key_id"],
        aws_secret_access_key=KEYS["secret_access_key"],
    )


def environment(server: MotoServer, **settings: str) -> dict[str, str]:
    """What Lambda gives the function, and our settings."""
    return {
        "AWS_ENDPOINT_URL": server.url,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": KEYS["access_key_id"],
        "AWS_SECRET_ACCESS_KEY": KEYS["secret_access_key"],
        **{f"MODELTAIL_{name}": value for name, value in settings.items()},
    }
