"""Every mistake of a file in one go, each where it is."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config import document
from agent.config.load import read
from agent.config.secret import secrets_in
from agent.errors import ConfigError
from tests.unit.config.reading import Everything, mistakes, settings


def test_every_mistake_is_told_in_file_order() -> None:
    """One run is enough to mend a file."""
    text = """\
nam: x
count: many
mode: blok
count: 3
parts:
  - type: tial
  - type: tail
    path: /logs
  - hosts: [a]
  - type: send
    hosts: https://es
    delivery:
      batch_bytes: 1B
      batch_age: 2m
    batch_age: 5s
    password: hunter2
labels: [a]
"""
    with pytest.raises(ConfigError) as caught:
        read(Everything, text.encode(), "a.yaml", {})
    assert caught.value.problems == [
        "a.yaml:1:1: nam: is not a setting; did you mean `name`?",
        "a.yaml:1:1: name: is missing",
        "a.yaml:2:8: count: must be a whole number, not `many`",
        "a.yaml:3:7: mode: must be `block` or `drop_oldest`, not `blok`; did you mean `block`?",
        "a.yaml:4:1: `count` is written twice: here and at line 2, column 1",
        "a.yaml:6:11: parts[0].type: must be `tail` or `send`, not `tial`; did you mean `tail`?",
        "a.yaml:7:5: parts[1].paths: is missing",
        "a.yaml:8:5: parts[1].path: is not a setting; did you mean `paths`?",
        "a.yaml:9:5: parts[2].type: is missing; it says what this is: `tail` or `send`",
        "a.yaml:13:20: parts[3].delivery.batch_bytes: must be at least 1KiB, not `1B`",
        "a.yaml:14:18: parts[3].delivery.batch_age: must be at most 1m, not `2m`",
        "a.yaml:15:5: parts[3].batch_age: is not a setting; did you mean `delivery.batch_age`?",
        "a.yaml:17:9: labels: must be a mapping (`key: value`), not a list",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("parts: {type: tail}", "1:8: parts: must be a list, not a mapping (`key: value`); put `- ` in front of it"),
        ("parts: tail", "1:8: parts: must be a list, not one value; put `- ` in front of it"),
        ("parts: [tail]", "1:9: parts[0]: must be a mapping (`key: value`), not one value"),
        ("parts:", "1:7: parts: has no value; give it one, or remove the line"),
        ("parts: [{type: [tail]}]", "1:16: parts[0].type: must be `tail` or `send`, not ``"),
        ("labels: {a: }", "1:12: labels.a: has no value; give it one, or remove the line"),
        ("Count: 3", "1:1: Count: is not a setting; did you mean `count`?"),
        ("a b: 3\nname: x", None),
        ("? [a]\n: 3", "1:3: a key must be plain text (is a `{{ }}` or `[ ]` not in quotes?)"),
        ("name: {{ name }}", "1:8: a key must be plain text (is a `{{ }}` or `[ ]` not in quotes?)"),
        ("labels: {a: b, a: c}", "1:16: `a` is written twice: here and at line 1, column 10"),
        ("x: &x {a: b}\nlabels: {<<: *x}", None),
        ("- name: x", "1:1: must be a mapping (`key: value`), not a list"),
        ("name:", "1:6: name: has no value; give it one, or remove the line"),
    ],
)
def test_wrong_structure_is_told(text: str, problem: str | None) -> None:
    """What is there, and what should be."""
    got = mistakes(text)
    if problem is None:
        assert got
    else:
        assert f"a.yaml:{problem}" in got


def test_unknown_setting_without_a_like_lists_what_there_is() -> None:
    """So that nobody needs to look it up."""
    assert mistakes("parts: [{type: tail, paths: a, zzz: 1}]") == [
        "a.yaml:1:32: parts[0].zzz: is not a setting; the settings here are `paths`, `lines` and `type`"
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"", "1:1: the file has no settings in it"),
        (b"# nothing\n", "1:1: the file has no settings in it"),
        (b"name: [", "1:8: not valid YAML: expected the node content, but found '<stream end>'"),
        (
            b"name: x\n\tcount: 3",
            "2:1: not valid YAML: found character '\\t' that cannot start any token "
            "(indent with spaces, not with tabs)",
        ),
        (
            b"name: a: b",
            "1:8: not valid YAML: mapping values are not allowed here (is the line indented as it should be, "
            "or is a text with `: ` not in quotes?)",
        ),
        (b"name: x\n---\nname: y", "2:1: not valid YAML: only one document is allowed in the file"),
        (b"name: x\nversion: \xe9", "2:10: the file is not UTF-8 text"),
        (b"name: x\nversion: a\x00b", "2:11: this character is not allowed in YAML"),
        (b"name: !!str x", "1:7: not valid YAML: tags are not supported; a value has the type its setting has"),
        (
            b"name: !!python/object/apply:os.system ['true']",
            "1:7: not valid YAML: tags are not supported; a value has the type its setting has",
        ),
        (b"name: *x", "1:7: not valid YAML: found undefined alias 'x'"),
        (b"labels: &a {b: *a}", "1:9: this value contains itself through an alias"),
        (b"name: " + b"[" * 100_000, "1:46: not valid YAML: values are nested more than 40 deep"),
        (b"name: [" + b"a," * 30_000 + b"]", "1:40002: not valid YAML: the file has more than 20000 values"),
        (b"#" * (document.MAX_BYTES + 1), "1:1: the file is larger than 1024 KiB"),
    ],
)
def test_unreadable_file_is_one_problem(text: bytes, problem: str) -> None:
    """Nothing in it can be checked, so only the reason is told."""
    with pytest.raises(ConfigError) as caught:
        read(Everything, text, "a.yaml", {})
    assert caught.value.problems == [f"a.yaml:{problem}"]


def test_aliases_cannot_stand_for_a_billion_values() -> None:
    """Nine lines of ten aliases each are refused at once."""
    lines = ["name: x", "a0: &a0 [" + ",".join("x" * 10) + "]"]
    lines += [f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    (problem,) = mistakes("\n".join(lines))
    assert problem.endswith("aliases make more than 20000 values of this")


def test_alias_stands_for_its_value() -> None:
    """Anchors are for saying a thing once."""
    got = settings("parts:\n  - &a {type: tail, paths: [x]}\n  - *a\nlabels: {a: &n 1.10, b: *n}")
    assert got.parts[0] == got.parts[1]
    assert got.labels == {"a": "1.10", "b": "1.10"}


def test_struct_places_its_own_rules() -> None:
    """A rule over several settings points at one of them, inside the nested struct if need be."""
    text = "parts:\n  - type: send\n    hosts: [https://es]\n    delivery:\n      batch_bytes: 6666"
    assert mistakes(text) == ["a.yaml:5:20: parts[0].delivery.batch_bytes: is unlucky"]


def test_struct_sentence_shows_no_secret_and_no_variable() -> None:
    """Whatever a struct's own sentence quotes, it is shown as written, and secrets not at all."""
    text = "parts: [{type: send, hosts: ['https://${USER}@${ES}'], password: '${PASS}'}]"
    (problem,) = mistakes(text, {"PASS": "hunter2", "ES": "es.internal", "USER": "u:p4ssw0rd"})
    assert problem == "a.yaml:1:66: parts[0].password: needs a user: ${PASS} at https://${USER}@${ES}"


def test_secret_file_is_read(tmp_path: Path) -> None:
    """Without one line end behind the secret; other white space is the secret's own."""
    for content, secret in [
        (b"s3 \n", "s3 "),
        (b"s3\r\n", "s3"),
        (b"s3\n\n", "s3\n"),
        (b"s3", "s3"),
        ("é".encode(), "é"),
    ]:
        (tmp_path / "key").write_bytes(content)
        assert settings(f"key: file:{tmp_path}/key").key == secret


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "must be a readable file, but `{path}` is not: No such file or directory"),
        (b"", "must be a file with a secret in it, but `{path}` is empty"),
        (b"\n", "must be a file with a secret in it, but `{path}` is empty"),
        (b"\xff", "must be a file of UTF-8 text, but `{path}` is not"),
        (b"x" * 70_000, "must be a file of at most 64 KiB, but `{path}` is larger"),
    ],
)
def test_secret_file_that_is_no_use_is_told(tmp_path: Path, content: bytes | None, reason: str) -> None:
    """With the file's name, never with what is in it."""
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
    assert mistakes(f"key: file:{path}") == [f"a.yaml:1:6: key: {reason.format(path=path)}"]


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n"), min_size=8))
def test_secret_is_in_no_message_and_no_repr(tail: str) -> None:
    """However it came in; but it is the secret that the output gets."""
    secret = f"S3cr3t{tail}"
    got = settings("key: ${K}\nparts: [{type: send, user: u, password: '${K}', hosts: https://e}]", {"K": secret})
    assert got.key == secret
    assert "S3cr3t" not in repr(got)
    assert set(secrets_in(got)) == {secret}
    told = "\n".join(
        mistakes("key: ${K}\ncount: ${K}\nmode: ${K}\nparts: [{type: send, hosts: '${K}'}]", {"K": secret})
    )
    assert "S3cr3t" not in told


def test_secret_written_in_the_file_is_not_repeated() -> None:
    """Neither a secret of the wrong shape nor the password of a URL."""
    told = mistakes("key: [S3cr3t]\ncount: https://u:S3cr3t@es\nparts: [{type: send, hosts: 'x://u:S3cr3t@es'}]")
    assert len(told) == 3
    assert "S3cr3t" not in "\n".join(told)


def test_passwords_of_urls_are_among_the_secrets() -> None:
    """So that the log can conceal them."""
    got = settings("parts: [{type: send, hosts: ['https://u:p4ss@es']}]\nkey: k3y")
    assert set(secrets_in(got)) == {"p4ss", "k3y"}


@given(st.text(st.sampled_from("ab:-[]{},&*!|>'\"%@`#?~<$ \n\tx1.")))
def test_any_text_is_read_or_refused(text: str) -> None:
    """No file makes the loader do anything but answer or raise ``ConfigError`` with places in it."""
    try:
        read(Everything, text.encode(), "a.yaml", {})
    except ConfigError as error:
        lines = text.count("\n") + 1
        for problem in error.problems:
            _, line, column, _ = problem.split(":", 3)
            assert 1 <= int(line) <= lines + 1
            assert int(column) >= 1


@given(st.binary())
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """The same for what is not even text."""
    problems: list[str] | None = None
    try:
        read(Everything, data, "a.yaml", {})
    except ConfigError as error:
        problems = error.problems
    assert problems is None or problems
