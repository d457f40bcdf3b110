"""A client of one AWS service, with its own retries taken out, and what its errors mean to us.

The extra ``aws`` brings aiobotocore; it is imported here and nowhere else in the agent.
"""

from contextlib import AbstractAsyncContextManager
from typing import Any

from agent.errors import Paused
from agent.outputs.aws.options import AwsOptions


def open_client(service: str, options: AwsOptions, **settings: Any) -> AbstractAsyncContextManager[Any]:
    """The client of a service (``kinesis``, ``firehose``, ``s3``), to be entered once and kept. ``settings`` go into
    its ``AioConfig``.

    Raises ``Paused`` when the region is missing, the profile is unknown or the extra is not installed.
    """
    try:
        from aiobotocore.config import AioConfig
        from aiobotocore.session import AioSession
        from botocore.exceptions import BotoCoreError
    except ImportError as error:
        raise Paused("outputs to AWS need the extra `aws`: pip install 'modeltail[aws]'") from error
    config = AioConfig(
        retries={"total_max_attempts": 1},
        connect_timeout=float(options.connect_timeout),
        read_timeout=float(options.request_timeout),
        max_pool_connections=options.delivery.max_concurrency + 1,
        **settings,
    )
    try:
        session = AioSession(profile=options.profile)
        client: AbstractAsyncContextManager[Any] = session.create_client(
            service,
            region_name=options.region,
            endpoint_url=options.endpoint,
            aws_access_key_id=options.access_key_id,
            aws_secret_access_key=options.secret_access_key,
            aws_session_token=options.session_token,
            config=config,
        )
        return client
    except BotoCoreError as error:
        raise Paused(f"AWS cannot be used: {error}") from error
