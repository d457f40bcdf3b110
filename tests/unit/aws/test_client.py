"""The client of AWS where there is none to be had, and what a refused document is sent as."""

import asyncio
import json
import sys

import pytest

from agent.errors import Paused
from agent.outputs.aws.rescue import SMALL_BYTES, safe_form
from agent.outputs.kinesis.config import KinesisConfig
from agent.outputs.kinesis.output import KinesisOutput
from tests.fakes.batches import batch_of, document


def test_missing_extra_pauses_and_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The agent runs and reads; only this output waits."""
    monkeypatch.setitem(sys.modules, "aiobotocore.config", None)

    async def send() -> None:
        async with KinesisOutput(KinesisConfig(stream="s", region="eu-central-1")) as output:
            with pytest.raises(Paused, match=r"pip install 'modeltail\[aws\]'"):
                await output.send(batch_of([document(1)]))
            assert [await output.check()] == [
                ["the stream s: outputs to AWS need the extra `aws`: pip install 'modeltail[aws]'"]
            ]

    asyncio.run(send())


def test_outputs_are_made_without_loading_what_speaks_to_aws() -> None:
    """An agent whose AWS output has had nothing to send does not carry its library."""
    text = (
        "import sys; from agent.components import make_output; from agent.outputs.kinesis.config import KinesisConfig; "
        "make_output(KinesisConfig(stream='s')); print([m for m in sys.modules if m.startswith(('boto', 'aioboto'))])"
    )
    done = asyncio.run(_python(text))
    assert done == b"[]\n"


async def _python(text: str) -> bytes:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", text, stdout=asyncio.subprocess.PIPE)
    said, _ = await process.communicate()
    return said


def test_small_document_has_a_form_that_nothing_can_refuse() -> None:
    """The whole of it, as one string, under its own id."""
    safe = safe_form("id", b'{"odd":1e999}', "refused", None)
    assert safe is not None
    content = json.loads(safe)
    assert content["event"] == {"id": "id", "original": '{"odd":1e999}'}


def test_large_document_is_cut_only_where_that_is_wanted() -> None:
    """All of it goes to the dead letters unless the policy says otherwise."""
    large = b'{"m":"%s"}' % (b"x" * SMALL_BYTES)
    assert safe_form("id", large, "too large", None) is None
    short = safe_form("id", large, "too large", 1000)
    assert short is not None
    assert len(json.loads(short)["event"]["original"]) == 1000
