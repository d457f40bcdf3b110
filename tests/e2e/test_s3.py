"""The agent before a real S3: both are killed in the middle, and every record is there once."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from agent.outputs.s3.contents import documents_in
from tests.e2e.agent_process import AgentProcess
from tests.servers import ServerUnavailable, unavailable
from tests.servers.versitygw import KEYS, REGION, versitygw

RECORDS = 100_000 if os.environ.get("MODELTAIL_SOAK") else 20_000
SECONDS = RECORDS / 6000
BUCKET = "logs"


def _numbers(bucket: Path) -> list[int]:
    files = [path for path in bucket.rglob("*.gz") if path.is_file()]
    documents = (document for path in files for document in documents_in(path.name, path.read_bytes()))
    return [msgspec.json.decode(document)["fields"]["n"] for document in documents]


def test_every_record_is_in_the_bucket_once(tmp_path: Path) -> None:
    """The agent dies three times, S3 once; what was in flight is looked up, and the ledger balances."""
    log = tmp_path / "model.log"
    config: dict[str, Any] = {
        "inputs": [{"type": "file", "paths": [str(log)]}],
        "outputs": [
            {
                "type": "s3",
                "bucket": BUCKET,
                "region": REGION,
                **KEYS,
                "delivery": {"batch_age": "50ms", "batch_records": 700, "backoff_initial": "50ms", "backoff_max": "1s"},
            }
        ],
    }
    try:
        with versitygw(tmp_path) as server:
            bucket = server.buckets / BUCKET
            bucket.mkdir()
            config["outputs"][0]["endpoint"] = server.url
            with AgentProcess(tmp_path, config) as agent:
                agent.start()
                writing = [sys.executable, "-m", "tests.e2e.model_log", str(log), str(RECORDS), "2", str(SECONDS)]
                model = subprocess.Popen(writing)
                for _ in range(3):
                    time.sleep(SECONDS / 5)  # the moment is any: the model writes meanwhile
                    agent.kill()
                    agent.start()
                server.kill()
                time.sleep(SECONDS / 10)
                server.start()
                assert model.wait(120) == 0
                agent.wait_until_queued_is_zero(RECORDS)
                assert agent.stop() == 0, agent.log_text()
                said = subprocess.run(
                    [sys.executable, "-m", "agent", "ledger", "--json", "-c", str(agent.config_file)],
                    capture_output=True,
                    check=False,
                )
    except ServerUnavailable as error:
        unavailable(error)
    ledger = json.loads(said.stdout)
    assert said.returncode == 0
    assert ledger["outputs"]["s3"]["fates"] == {"delivered": RECORDS}
    numbers = _numbers(bucket)
    assert len(numbers) == RECORDS
    assert set(numbers) == set(range(RECORDS))
    assert "already at their first sending" not in (tmp_path / "agent.stderr").read_text()


def test_job_does_not_wait_for_company_that_never_comes(tmp_path: Path) -> None:
    """The model has ended: what waits for a larger object goes at once, however long it might."""
    log = tmp_path / "model.log"
    try:
        with versitygw(tmp_path) as server:
            bucket = server.buckets / BUCKET
            bucket.mkdir()
            output: dict[str, Any] = {"type": "s3", "bucket": BUCKET, "region": REGION, "endpoint": server.url, **KEYS}
            output["delivery"] = {"batch_age": "1h"}
            inputs = [{"type": "file", "paths": [str(log)], "linger": 0, "scan_interval": "100ms"}]
            with AgentProcess(tmp_path, {"inputs": inputs, "outputs": [output]}) as agent:
                with log.open("wb", buffering=0) as held:
                    held.write(b'{"n": 0}\n')
                    agent.start("--exit-when-idle=0.3s")
                    agent.wait_until_queued_is_zero(1)  # the first goes at once, the next is to wait
                    held.write(b'{"n": 1}\n')
                assert agent.process.wait(60) == 0, agent.log_text()
    except ServerUnavailable as error:
        unavailable(error)
    assert sorted(_numbers(bucket)) == [0, 1]
