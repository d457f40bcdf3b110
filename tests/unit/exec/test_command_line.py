"""The command line as it may be shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.inputs.exec.command_line import MAX_CHARS, shown


@pytest.mark.parametrize(
    ("command", "text"),
    [
        (["python", "serve.py", "--port", "8080"], "python serve.py --port 8080"),
        (["sh", "-c", "echo a b"], "sh -c 'echo a b'"),
        (["serve", "--api-key=abc", "-v"], "serve --api-key=*** -v"),
        (["serve", "--api_key", "abc", "-v"], "serve --api_key *** -v"),
        (["serve", "--hf-token", "hf_abc"], "serve --hf-token ***"),
        (["vllm", "serve", "m", "--api-key", "--port", "1"], "vllm serve m --api-key --port 1"),
        (["env", "DB_PASSWORD=hunter2", "serve"], "env DB_PASSWORD=*** serve"),
        (["serve", "--db", "postgres://u:hunter2@db/x"], "serve --db 'postgres://u:***@db/x'"),
        (["curl", "-H", "Authorization: Bearer abc def"], "curl -H 'Authorization: ***'"),
        (["serve", "--max-tokens=512", "--tokenizer", "gpt2"], "serve --max-tokens=512 --tokenizer gpt2"),
        (["serve", "--seed=42", "sesame-is-known"], "serve --seed=42 ***"),
        (["serve", ""], "serve ''"),
    ],
)
def test_secrets_are_left_out(command: list[str], text: str) -> None:
    """Values of what is named like a secret, passwords of URLs, and the configuration's own secrets."""
    assert shown(command, ["sesame-is-known"]) == text


@given(
    st.lists(st.text(min_size=1), min_size=1),
    st.sampled_from(["--password", "--api-key", "--secret", "--auth.token", "--AWS_SECRET_ACCESS_KEY"]),
    st.booleans(),
)
def test_no_secret_behind_its_name_is_shown(words: list[str], name: str, equals: bool) -> None:
    """Wherever it stands among whatever words."""
    hidden = "kx9-Q7zz-pl0"
    option = [f"{name}={hidden}"] if equals else [name, hidden]
    assert hidden not in shown([*words, *option, *words])


def test_a_long_command_line_is_cut() -> None:
    """Elasticsearch would not index it."""
    text = shown(["serve", *["--flag"] * 1000])
    assert len(text) == MAX_CHARS
    assert text.endswith("…")
