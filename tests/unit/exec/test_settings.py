"""The exec input in a configuration, and what its page says of it."""

from pathlib import Path

import pytest

from agent.config.load import read
from agent.config.root import AgentConfig, WrappingConfig
from agent.errors import ConfigError
from agent.inputs.exec import held, stream, tail
from agent.stopping import Budgets

OUTPUTS = "outputs: [{type: stdout}]\n"
PAGE = (Path(__file__).parents[3] / "docs" / "inputs" / "exec.md").read_text()


def inputs_of(text: str) -> list[tuple[str, str]]:
    """Type and id of each input under `modeltail exec`."""
    config = read(WrappingConfig, (text + OUTPUTS).encode(), "a.yaml", {})
    return [(str(component.__struct_config__.tag), component.id) for component in config.inputs]


@pytest.mark.parametrize(
    ("text", "inputs"),
    [
        ("", [("exec", "exec")]),
        ("inputs: []\n", [("exec", "exec")]),
        ("inputs: [{type: exec, id: model}]\n", [("exec", "model")]),
        ("inputs: [{type: file, paths: [/a]}]\n", [("exec", "exec"), ("file", "file")]),
        ("inputs: [{type: file, paths: [/a], id: exec}]\n", [("exec", "exec-2"), ("file", "exec")]),
        ("inputs: [{type: file, paths: [/a]}, {type: exec}]\n", [("file", "file"), ("exec", "exec")]),
    ],
)
def test_the_input_is_there_without_being_named(text: str, inputs: list[tuple[str, str]]) -> None:
    """With its defaults; an entry of that type is the one."""
    assert inputs_of(text) == inputs


@pytest.mark.parametrize(
    ("inputs", "problem"),
    [
        ("[{type: exec}, {type: exec}]", "a.yaml:1:24: inputs[1]: only one input can run the model"),
        ("[{type: exec}, {type: stdin}]",
         "a.yaml:1:24: inputs[1]: standard input belongs to the model that modeltail runs"),
    ],
)  # fmt: skip
def test_a_model_is_run_once_and_has_standard_input(inputs: str, problem: str) -> None:
    """What no two inputs can have."""
    with pytest.raises(ConfigError) as caught:
        read(AgentConfig, f"inputs: {inputs}\n{OUTPUTS}".encode(), "a.yaml", {})
    assert caught.value.problems == [problem]


def test_the_page_names_the_numbers_of_the_code() -> None:
    """Limits and times."""
    page = " ".join(PAGE.split())
    assert f"The model has {Budgets.of(100, with_model=True).model:.0f} % of `grace` to end" in page
    assert f"{held.HELD_BYTES // 1024**2} MiB of each stream are held" in page
    assert f"`{held.OVERRUN}`" in page
    assert held.PATIENCE_SECS == 0.1
    assert "a tenth of a second" in page
    assert f"at most {tail.MAX_LINES} and {tail.MAX_BYTES // 1024} KiB" in page
    assert (stream.QUIET_SECS, stream.LATE_SECS) == (0.5, 3.0)
    assert "quiet for half a second, or for three seconds" in page
