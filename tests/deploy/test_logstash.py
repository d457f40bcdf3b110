"""The pipelines for Logstash, as far as that can be seen without Logstash: their grammar, their settings, the ids."""

import re
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from agent.outputs.elasticsearch.names import data_stream_name
from agent.outputs.logstash.config import LogstashConfig

FOLDER = Path(__file__).parents[2] / "deploy" / "logstash"
PIPELINES = sorted(FOLDER.glob("*.conf"))

_TLS = {"ssl_enabled", "ssl_certificate", "ssl_key", "ssl_client_authentication", "ssl_certificate_authorities"}
SETTINGS = {
    "beats": {"port", "enrich", "ecs_compatibility", "codec", *_TLS},
    "http": {
        *{"port", "user", "password", "additional_codecs", "ecs_compatibility"},
        *{"request_headers_target_field", "remote_host_target_field", *_TLS},
    },
    "tcp": {"port", "codec", "ecs_compatibility", *_TLS},
    "plain": {"ecs_compatibility"},
    "json_lines": {"ecs_compatibility"},
    "mutate": {"remove_field"},
    "drop": set[str](),
    "elasticsearch": {
        *{"hosts", "api_key", "data_stream", "index", "action", "document_id", "manage_template"},
        "silence_errors_in_log",
    },
}
"""What each plugin may be told here, of its settings in Logstash 8.x and 9.x."""

_TOKEN = re.compile(r'\s+|#[^\n]*|(=>|[{}\[\],()]|"(?:[^"\\]|\\.)*"|[\w.@-]+)')

Plugin = tuple[str, dict[str, Any]]


def tokens(text: str) -> list[str]:
    """The words of a pipeline; what is none is an error."""
    found, place = [], 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        assert match, f"not a word: {text[place : place + 20]!r}"
        if match[1]:
            found.append(match[1])
        place = match.end()
    return found


class Grammar:
    """Sections of plugins, plugins of settings; a plugin may stand below conditions."""

    def __init__(self, text: str) -> None:
        self._rest = tokens(text)

    def pipeline(self) -> dict[str, list[Plugin]]:
        """All sections, to the last word."""
        sections = {}
        while self._rest:
            name = self._rest.pop(0)
            assert name in {"input", "filter", "output"}
            assert name not in sections
            self._expect("{")
            sections[name] = self._plugins()
        return sections

    def _plugins(self) -> list[Plugin]:
        found: list[Plugin] = []
        while (name := self._rest.pop(0)) != "}":
            if name == "if":
                while self._rest.pop(0) != "{":
                    pass
                found += self._plugins()
            else:
                found.append((name, self._settings()))
        return found

    def _settings(self) -> dict[str, Any]:
        self._expect("{")
        settings: dict[str, Any] = {}
        while (name := self._rest.pop(0)) != "}":
            self._expect("=>")
            assert name not in settings
            settings[name.strip('"')] = self._value()
        return settings

    def _value(self) -> Any:
        word = self._rest.pop(0)
        if word == "[":
            values = []
            while self._rest[0] != "]":
                values.append(self._value())
                if self._rest[0] != "]":
                    self._expect(",")
            self._expect("]")
            return values
        if word == "{":
            self._rest.insert(0, "{")
            return self._settings()
        if self._rest[0] == "{":
            return (word, self._settings())
        return word.strip('"')

    def _expect(self, word: str) -> None:
        found = self._rest.pop(0)
        assert found == word


def uncommented(text: str) -> str:
    """With the settings that are there to be chosen."""
    return re.sub(r"^( +)# (\w+ => )", r"\1\2", text, flags=re.MULTILINE)


def plugins_of(text: str) -> list[Plugin]:
    """All of a pipeline, the codecs among their settings included."""
    found = [plugin for section in Grammar(text).pipeline().values() for plugin in section]
    codecs = [value for _, settings in found for value in settings.values() if isinstance(value, tuple)]
    return found + codecs


def test_there_is_a_pipeline_for_each_protocol() -> None:
    """By its name."""
    assert {path.stem for path in PIPELINES} == set(get_args(get_type_hints(LogstashConfig)["protocol"]))


@pytest.mark.parametrize("path", PIPELINES, ids=lambda path: path.stem)
@pytest.mark.parametrize("choose", [str, uncommented], ids=["as it is", "with every choice"])
def test_pipeline_is_whole_and_has_only_known_settings(path: Path, choose: Any) -> None:
    """Every bracket closed, every setting one that its plugin has, none given twice."""
    found = plugins_of(choose(path.read_text()))
    assert len(found) >= 3
    for name, settings in found:
        assert set(settings) <= SETTINGS[name], name


@pytest.mark.parametrize("path", PIPELINES, ids=lambda path: path.stem)
def test_records_are_created_under_their_ids(path: Path) -> None:
    """In the data stream that the output `elasticsearch` would write to; so a repeat does no harm."""
    ((name, settings),) = Grammar(path.read_text()).pipeline()["output"]
    assert name == "elasticsearch"
    assert settings["action"] == "create"
    assert settings["data_stream"] == "false"
    assert settings["document_id"] == "%{[event][id]}"
    index = settings["index"].replace("%{[data_stream][dataset]}", "a.b").replace("%{[data_stream][namespace]}", "c")
    assert index == data_stream_name("logs-{dataset}-{namespace}", "a.b-c")


def test_broken_pipeline_is_seen() -> None:
    """A bracket that is missing, a setting that is misspelt."""
    text = (FOLDER / "tcp.conf").read_text()
    with pytest.raises((AssertionError, IndexError)):
        Grammar(text.rstrip().removesuffix("}")).pipeline()
    misspelt = plugins_of(text.replace("document_id", "documentid"))
    assert any(set(settings) - SETTINGS[name] for name, settings in misspelt)
