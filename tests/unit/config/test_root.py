"""The whole configuration: its own rules, its schema, its reference, and the examples."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import msgspec
import pytest
import yaml

from agent.config.load import load, read
from agent.config.reference import reference_of
from agent.config.root import AgentConfig
from agent.config.schema import schema_of
from agent.config.units import show_size
from agent.delivery.config import DeliveryConfig
from agent.errors import ConfigError
from agent.inputs import INPUTS
from agent.outputs import OUTPUTS

REPOSITORY = Path(__file__).parents[3]
EXAMPLES = sorted((REPOSITORY / "config/examples").glob("*.yaml"))
SCHEMA = schema_of(AgentConfig, "modeltail's configuration")

KINDS = [f"`{output.__struct_config__.tag}`" for output in OUTPUTS]

SMALL = """\
model: {name: m}
inputs: [{type: stdin}]
outputs: [{type: stdout}]
"""


def mistakes(text: str) -> list[str]:
    try:
        read(AgentConfig, text.encode(), "a.yaml", {})
    except ConfigError as error:
        return error.problems
    return []


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_example_is_good(path: Path) -> None:
    """Every example can be used as it is, given its secrets."""
    assert load(path, {"ES_API_KEY": "k", "KAFKA_PASSWORD": "p"}).outputs


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_example_agrees_with_the_schema(path: Path) -> None:
    """An editor that checks against the schema finds nothing either."""
    jsonschema.Draft202012Validator(SCHEMA).validate(yaml.safe_load(path.read_text()))


def test_schema_in_the_repository_is_current() -> None:
    """``modeltail config schema > config/agent.schema.json`` makes it so."""
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert json.loads((REPOSITORY / "config/agent.schema.json").read_text()) == SCHEMA


def test_reference_in_the_repository_is_current() -> None:
    """``modeltail config reference > docs/configuration.md`` makes it so."""
    assert (REPOSITORY / "docs/configuration.md").read_text() == reference_of(AgentConfig)


@pytest.mark.parametrize(
    ("addition", "good"),
    [
        ("queue: {max_bytes: 64MiB}", True),
        ("queue: {max_bytes: 67108864}", True),
        ("queue: {max_bytes: '${ROOM}'}", True),
        ("queue: {max_bytes: 1.5 GiB, sync_interval: 250ms}", True),
        ("queue: {max_bytes: lots}", False),
        ("queue: {max_bytes: -1}", False),
        ("queue: {sync: sometimes}", False),
        ("queue: {snyc: always}", False),
        ("grace: 10", True),
        ("grace: 5 fortnights", False),
        ("status: {enabled: 'no', port: 0}", True),
        ("status: {enabled: maybe}", False),
        ("status: {port: 70000}", False),
        ("status: {port: '${PORT:-8686}'}", True),
        ("labels: {a: 1.10, b: true}", True),
        ("labels: [a]", False),
        ("log: {level: warning}", True),
        ("log: {level: loud}", False),
        ("namespace: a-b", False),
        ("environment: null", True),
        ("colour: red", False),
    ],
)
def test_schema_and_loader_agree(addition: str, good: bool) -> None:
    """What one of them takes the other takes, so an editor's underline means something."""
    text = f"{SMALL}{addition}\n"
    problems = mistakes(text.replace("${ROOM}", "1GiB").replace("${PORT:-8686}", "1"))
    assert (problems == []) is good
    assert jsonschema.Draft202012Validator(SCHEMA).is_valid(yaml.safe_load(text)) is good


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("inputs: []", "a.yaml:1:9: inputs: must be not empty"),
        ("inputs:", "a.yaml:1:8: inputs: has no value; give it one, or remove the line"),
        (
            "outputs: [{type: elastic}]",
            f"a.yaml:1:18: outputs[0].type: must be {', '.join(KINDS[:-1])} or {KINDS[-1]}, not `elastic`; "
            "did you mean `elasticsearch`?",
        ),
        (
            "inputs: [{type: stdin, id: ../x}]\noutputs: [{type: stdout}]",
            "a.yaml:1:28: inputs[0].id: must be 1 to 64 letters, digits, `_`, `.` or `-`, "
            "beginning with a letter or digit",
        ),
        (
            "inputs: [{type: file, id: a, paths: /x}, {type: stdin, id: a}]\noutputs: [{type: stdout}]",
            "a.yaml:1:60: inputs[1].id: another one of the inputs has the id `a`; ids must differ",
        ),
        (
            "inputs: [{type: stdin}, {type: stdin}]\noutputs: [{type: stdout}]",
            "a.yaml:1:25: inputs[1]: only one input can read standard input",
        ),
        (
            "inputs: [{type: stdin}]\noutputs: [{type: ndjson, path: /q}]\nqueue: {path: /q}",
            "a.yaml:2:32: outputs[0].path: this place is taken by the queue",
        ),
        (
            "inputs: [{type: stdin}]\noutputs: [{type: local, path: /q}, {type: local, path: /q}]",
            "a.yaml:2:56: outputs[1].path: this place is taken by the output `local`",
        ),
    ],
)
def test_rules_between_components(text: str, problem: str) -> None:
    """What no component can see alone."""
    assert problem in mistakes(text)


def test_components_without_an_id_get_one() -> None:
    """The type's name, numbered from the second on; ids that are given are kept and never given again."""
    text = """\
inputs:
  - {type: file, paths: /a}
  - {type: file, paths: /b, id: file-2}
  - {type: file, paths: /c}
  - {type: stdin}
outputs: [{type: stdout}, {type: stdout}]
"""
    config = read(AgentConfig, text.encode(), "a.yaml", {})
    assert [component.id for component in config.inputs] == ["file", "file-2", "file-3", "stdin"]
    assert [component.id for component in config.outputs] == ["stdout", "stdout-2"]


@pytest.mark.parametrize("struct", [AgentConfig, *INPUTS, *OUTPUTS], ids=lambda struct: struct.__name__)
def test_every_setting_is_described(struct: type[msgspec.Struct]) -> None:
    """A struct says what it is, and every field what it means: the reference has no empty cell."""
    properties = schema_of(struct, "x")["properties"]
    assert struct.__doc__
    assert isinstance(properties, dict)
    assert [name for name, found in properties.items() if "description" not in found and "const" not in found] == []


def test_missing_file_is_one_sentence(tmp_path: Path) -> None:
    """With the path that was looked at."""
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: cannot be read: No such file or directory"):
        load(tmp_path / "nowhere.yaml")


def test_reading_a_configuration_imports_nothing_heavy() -> None:
    """Neither an HTTP client nor a database nor a regular-expression engine, unless the configuration needs it."""
    code = "import sys, agent.config.load; print(*sys.modules)"
    done = subprocess.run(  # our own interpreter and code
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=REPOSITORY, env=dict(os.environ)
    )
    assert {"aiohttp", "sqlite3", "aiobotocore", "aiokafka", "uvloop", "re2", "click"}.isdisjoint(done.stdout.split())


@pytest.mark.parametrize(
    ("when", "sentence"),
    [
        (
            "level:eror",
            "a.yaml:3:32: outputs[0].when[0]: must be a query as for `modeltail search` (level:eror (character 1): the "
            "levels are debug, info, warning, error, critical; did you mean error?), not `level:eror`",
        ),
        (
            "[level:error, 'score>high']",
            "a.yaml:3:46: outputs[0].when[1]: must be a query as for `modeltail search` (score>high (character 1): "
            "'high' is not a number), not `score>high`",
        ),
        (
            "' '",
            "a.yaml:3:32: outputs[0].when[0]: must be a query as for `modeltail search`, with a term in it, not ``",
        ),
    ],
)
def test_query_that_is_not_understood_is_found_before_anything_starts(when: str, sentence: str) -> None:
    """With its place in the file and its place in the query."""
    assert mistakes(SMALL.replace("{type: stdout}", f"{{type: stdout, when: {when}}}")) == [sentence]


@pytest.mark.parametrize("output", ["{type: s3, bucket: b}", "{type: loki, hosts: h}", "{type: otlp, hosts: h}"])
def test_one_setting_of_delivery_leaves_the_others_as_the_output_has_them(output: str) -> None:
    """Who bounds an output's lag must not get a hundred times as many objects for it."""

    def delivery(settings: str) -> DeliveryConfig:
        text = SMALL.replace("{type: stdout}", output.replace("}", settings).replace("hosts: h", "hosts: 'http://h:1'"))
        return read(AgentConfig, text.encode(), "a.yaml", {}).outputs[0].delivery

    usual, other = delivery("}"), delivery(", delivery: {max_concurrency: 3}}")
    assert usual.batch_bytes != DeliveryConfig().batch_bytes
    assert other == msgspec.structs.replace(usual, max_concurrency=3)
    assert f"Here `batch_bytes` is {show_size(usual.batch_bytes)}" in reference_of(AgentConfig)
