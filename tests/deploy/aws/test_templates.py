"""The CloudFormation (SAM) template and the Terraform files: without mistakes, and the same."""

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import hcl2
import pytest
import yaml
from modeltail_lambda.consume import Report
from modeltail_lambda.report import metrics_line
from modeltail_lambda.settings import KNOWN, read_settings

from tests.deploy.aws.function import HANDLER, ROOT

AWS = ROOT / "deploy" / "aws"
TEMPLATE = AWS / "template.yaml"
TERRAFORM = sorted((AWS / "terraform").glob("*.tf"))


class _Loader(yaml.SafeLoader):
    """Reads CloudFormation's short forms: ``!GetAtt A.B`` becomes ``{"GetAtt": "A.B"}``."""


def _short_form(loader: yaml.SafeLoader, name: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        return {name: loader.construct_scalar(node)}
    assert isinstance(node, yaml.SequenceNode)
    return {name: loader.construct_sequence(node, deep=True)}


_Loader.add_multi_constructor("!", _short_form)


def _template(text: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = yaml.load(text, _Loader)  # noqa: S506 - a safe loader with forms of its own
    return found


def _terraform(texts: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Every block of Terraform by ``type.name`` (``aws_sqs_queue.failures``), variables as ``variable.name``."""
    found: dict[str, dict[str, Any]] = {}
    for text in texts.values():
        for kind, blocks in _plain(hcl2.loads(text)).items():
            for block in blocks if isinstance(blocks, list) else ():
                for first, inner in block.items():
                    if kind in ("variable", "output"):
                        found[f"{kind}.{first}"] = inner
                    elif kind in ("resource", "data"):
                        found.update({f"{first}.{name}": body for name, body in inner.items()})
    return found


def _plain(value: Any) -> Any:
    """Without the parser's marks and the quotes around strings."""
    if isinstance(value, dict):
        return {_plain(key): _plain(inner) for key, inner in value.items() if not key.startswith("__")}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return value[1:-1] if isinstance(value, str) and re.fullmatch(r'".*"', value, re.DOTALL) else value


def _read_terraform() -> dict[str, str]:
    return {path.name: path.read_text() for path in TERRAFORM}


RESOURCES = {
    "Stream.Arn": "aws_kinesis_stream.this.arn",
    "Bucket.Arn": "aws_s3_bucket.this.arn",
    "FailureQueue.Arn": "aws_sqs_queue.failures.arn",
    "ApiKeySecretArn": "var.api_key_secret_arn",
    "Bucket": "aws_s3_bucket.this.id",
    "ElasticsearchUrl": "var.elasticsearch_url",
    "MaximumRecordAgeInSeconds": "var.maximum_record_age_in_seconds",
}
"""What the template calls a thing, and what Terraform does."""


def _named(value: Any) -> str:
    """A reference of the template in Terraform's words."""
    if not isinstance(value, dict):
        return str(value)
    ((form, inner),) = value.items()
    if form == "If":  # Terraform gives the function an empty setting, which is none
        return _named(inner[1])
    if form == "Sub" and "log-group" in inner:
        return "${aws_cloudwatch_log_group.function.arn}:*"
    if form == "Sub":
        return re.sub(r"\$\{([\w.]+)\}", lambda found: f"${{{RESOURCES[found[1]]}}}", inner)
    return f"${{{RESOURCES[inner]}}}"


def _statements(policy: Mapping[str, Any]) -> dict[str, tuple[list[str], list[str]]]:
    """Actions and resources of each statement of the template."""

    def listed(value: Any) -> list[Any]:
        return value if isinstance(value, list) else [value]

    return {
        entry["Sid"]: (sorted(listed(entry["Action"])), sorted(map(_named, listed(entry["Resource"]))))
        for entry in policy["Statement"]
    }


def _terraform_statements(document: Mapping[str, Any]) -> dict[str, tuple[list[str], list[str]]]:
    return {entry["sid"]: (sorted(entry["actions"]), sorted(entry["resources"])) for entry in document["statement"]}


def of_the_template(template: Mapping[str, Any]) -> dict[str, Any]:
    """What of the template has to be the same in Terraform."""
    resources = {name: body["Properties"] for name, body in template["Resources"].items()}
    function, bucket = resources["Function"], resources["Bucket"]
    mapping = resources["Mapping"]
    parameters = template["Parameters"]
    (rule,) = bucket["LifecycleConfiguration"]["Rules"]
    (encryption,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    return {
        "stream": (parameters["ShardCount"]["Default"], parameters["RetentionHours"]["Default"]),
        "stream encryption": resources["Stream"]["StreamEncryption"]["KeyId"],
        "function": [function[key] for key in ("Handler", "Runtime", "Architectures", "MemorySize", "Timeout")],
        "code": function["CodeUri"],
        "environment": {name: _named(value) for name, value in function["Environment"]["Variables"].items()},
        "mapping": [
            mapping["StartingPosition"],
            mapping["BatchSize"],
            mapping["MaximumBatchingWindowInSeconds"],
            mapping["ParallelizationFactor"],
            mapping["FunctionResponseTypes"],
            mapping["BisectBatchOnFunctionError"],
            mapping["MaximumRetryAttempts"],
            _named(mapping["MaximumRecordAgeInSeconds"]),
            parameters["MaximumRecordAgeInSeconds"]["Default"],
        ],
        "on failure": _named(mapping["DestinationConfig"]["OnFailure"]["Destination"]),
        "encryption": encryption["ServerSideEncryptionByDefault"]["SSEAlgorithm"],
        "public access": sorted(bucket["PublicAccessBlockConfiguration"].values()),
        "ownership": bucket["OwnershipControls"]["Rules"][0]["ObjectOwnership"],
        "stale uploads": (rule["Status"], rule["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"]),
        "bucket policy": _statements(resources["BucketPolicy"]["PolicyDocument"]),
        "queue": (
            resources["FailureQueue"]["MessageRetentionPeriod"],
            resources["FailureQueue"]["SqsManagedSseEnabled"],
        ),
        "log": resources["FunctionLogs"]["RetentionInDays"],
        "alarm": [resources["GivenUpAlarm"][key] for key in ("Namespace", "MetricName", "Period", "Threshold")],
        "function may": _statements(resources["FunctionRole"]["Policies"][0]["PolicyDocument"]),
        "function may with a key": _statements(resources["SecretPolicy"]["PolicyDocument"]),
        "agents may": _statements(resources["SendPolicy"]["PolicyDocument"]),
    }


def of_terraform(found: Mapping[str, Any]) -> dict[str, Any]:
    """The same of Terraform."""
    function, mapping = found["aws_lambda_function.this"], found["aws_lambda_event_source_mapping.records"]
    (rule,) = found["aws_s3_bucket_lifecycle_configuration.this"]["rule"]
    (encryption,) = found["aws_s3_bucket_server_side_encryption_configuration.this"]["rule"]
    access = found["aws_s3_bucket_public_access_block.this"]
    queue, alarm = found["aws_sqs_queue.failures"], found["aws_cloudwatch_metric_alarm.given_up"]
    return {
        "stream": (found["variable.shard_count"]["default"], found["variable.retention_hours"]["default"]),
        "stream encryption": found["aws_kinesis_stream.this"]["kms_key_id"],
        "function": [function[key] for key in ("handler", "runtime", "architectures", "memory_size", "timeout")],
        "code": "lambda/build/modeltail-lambda.zip",
        "environment": function["environment"][0]["variables"],
        "mapping": [
            mapping["starting_position"],
            mapping["batch_size"],
            mapping["maximum_batching_window_in_seconds"],
            mapping["parallelization_factor"],
            mapping["function_response_types"],
            mapping["bisect_batch_on_function_error"],
            mapping["maximum_retry_attempts"],
            mapping["maximum_record_age_in_seconds"],
            found["variable.maximum_record_age_in_seconds"]["default"],
        ],
        "on failure": mapping["destination_config"][0]["on_failure"][0]["destination_arn"],
        "encryption": encryption["apply_server_side_encryption_by_default"][0]["sse_algorithm"],
        "public access": sorted(value for key, value in access.items() if key != "bucket"),
        "ownership": found["aws_s3_bucket_ownership_controls.this"]["rule"][0]["object_ownership"],
        "stale uploads": (rule["status"], rule["abort_incomplete_multipart_upload"][0]["days_after_initiation"]),
        "bucket policy": _terraform_statements(found["aws_iam_policy_document.bucket"]),
        "queue": (queue["message_retention_seconds"], queue["sqs_managed_sse_enabled"]),
        "log": found["aws_cloudwatch_log_group.function"]["retention_in_days"],
        "alarm": [alarm[key] for key in ("namespace", "metric_name", "period", "threshold")],
        "function may": _terraform_statements(found["aws_iam_policy_document.function"]),
        "function may with a key": _terraform_statements(found["aws_iam_policy_document.api_key"]),
        "agents may": _terraform_statements(found["aws_iam_policy_document.send"]),
    }


def _lint(file: Path) -> "subprocess.CompletedProcess[str]":
    command = [str(Path(sys.executable).parent / "cfn-lint"), "--format", "json", str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_template_has_no_mistake() -> None:
    """cfn-lint, which knows every resource's properties, finds nothing."""
    done = _lint(TEMPLATE)
    assert (done.returncode, json.loads(done.stdout or "[]")) == (0, [])


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("ParallelizationFactor: 1", "ParalelizationFactor: 1"),
        ("ShardCount: !Ref ShardCount", "ShardCount: !Ref Shards"),
        ("Destination: !GetAtt FailureQueue.Arn", "Destination: !GetAtt FailureQueue.Address"),
        ("MaximumRetryAttempts: -1", "MaximumRetryAttempts: always"),
    ],
)
def test_mistake_in_the_template_would_be_found(right: str, wrong: str, tmp_path: Path) -> None:
    """The check above can fail."""
    text = TEMPLATE.read_text()
    assert right in text
    broken = tmp_path / "template.yaml"
    broken.write_text(text.replace(right, wrong))
    assert _lint(broken).returncode != 0


def test_terraform_is_the_same_as_the_template() -> None:
    """Stream, function, mapping, bucket, queue and every permission."""
    assert of_terraform(_terraform(_read_terraform())) == of_the_template(_template(TEMPLATE.read_text()))


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("batch_size                         = 500", "batch_size = 50"),
        ('"s3:GetObject", "s3:PutObject"', '"s3:*"'),
        ('sse_algorithm = "AES256"', 'sse_algorithm = "aws:kms"'),
        ("days_after_initiation = 2", "days_after_initiation = 7"),
    ],
)
def test_difference_would_be_found(right: str, wrong: str) -> None:
    """The comparison above can fail."""
    texts = _read_terraform()
    assert any(right in text for text in texts.values())
    changed = _terraform({name: text.replace(right, wrong) for name, text in texts.items()})
    assert of_terraform(changed) != of_the_template(_template(TEMPLATE.read_text()))


def test_every_reference_of_terraform_is_declared() -> None:
    """No variable and no resource is used that is not there, and none of the variables is unused."""
    text = "\n".join(_read_terraform().values())
    declared = _terraform(_read_terraform())
    used = set(re.findall(r"\bvar\.(\w+)", text))
    assert used == {name.removeprefix("variable.") for name in declared if name.startswith("variable.")}
    referred = set(re.findall(r"\b(aws_\w+\.\w+)\.\w+", text))
    assert {name.removeprefix("data.") for name in referred} <= declared.keys()


def test_function_understands_what_the_template_sets() -> None:
    """Handler and settings are those of the code, and it may write where it is told to."""
    shape = of_the_template(_template(TEMPLATE.read_text()))
    settings = read_settings(
        {**shape["environment"], "MODELTAIL_BUCKET": "b", "MODELTAIL_ELASTICSEARCH_URL": "https://es:9200"}
    )
    assert shape["function"][0] == HANDLER
    assert shape["code"] == "lambda/build/modeltail-lambda.zip"
    _, resources = shape["function may"]["WriteObjects"]
    for prefix in (settings.prefix, settings.bad_prefix):
        assert any(resource.endswith(f"/{prefix}*") for resource in resources)


def test_stream_keeps_records_longer_than_the_function_tries() -> None:
    """What is given up can still be read from the stream."""
    shape = of_the_template(_template(TEMPLATE.read_text()))
    assert shape["stream"][1] * 3600 > shape["mapping"][-1]


def test_page_says_what_the_templates_and_the_function_do() -> None:
    """Its times are the templates', its settings and metrics the function's."""
    page = (ROOT / "docs" / "aws.md").read_text()
    shape = of_the_template(_template(TEMPLATE.read_text()))
    tried, kept = shape["mapping"][-1] // 3600, shape["stream"][1]
    assert f"for {tried} hours" in page
    assert f"the rest of its {kept} hours (`RetentionHours`): **{kept - tried} hours** from then" in page
    assert f"(SQS), for {shape['queue'][0] // 86400} days" in page
    assert set(re.findall(r"^\| `MODELTAIL_(\w+)`", page, re.MULTILINE)) == KNOWN
    report = Report(stored={"s3": 1, "elasticsearch": 1}, duplicates={"s3": 1, "elasticsearch": 1})
    made = {metric for metric in metrics_line(report, "f") if not metric.startswith("_")}
    rows = page[page.index("| metric |") : page.index("Lambda's own `IteratorAge`")]
    told = set(re.findall(r"`([\w.]+)`(?=[^|]*\|)", rows)) & made
    assert told | {"Stored", "Duplicates", "FunctionName"} == made
