"""The documentation and the index know what the code does."""

import re
from pathlib import Path
from typing import Any

from agent.outputs.elasticsearch.template import index_template
from agent.processors.normalise.spellings import rules

PAGE = Path(__file__).parents[3] / "docs" / "document.md"


def test_table_of_keys_is_the_codes() -> None:
    """``docs/document.md`` lists every place and its keys, in the order they are tried."""
    table = PAGE.read_text().split("| place | keys, the strongest first |")[1].split("\n\n")[0]
    documented = [re.findall(r"`([^`]+)`", row) for row in table.splitlines()[2:]]
    keys: dict[str, list[str]] = {}
    for key, rule in rules(None).items():
        keys.setdefault(rule.place, []).append(key)
    assert documented == [[place, *spelt] for place, spelt in keys.items()]


def test_every_place_is_mapped() -> None:
    """No place the reader fills is unknown to the index template."""
    mapped: set[str] = set()

    def walk(properties: dict[str, Any], path: str) -> None:
        for name, field in properties.items():
            mapped.add(path + name)
            walk(field.get("properties", {}), f"{path}{name}.")

    walk(index_template()["template"]["mappings"]["properties"], "")
    places = {place for rule in rules(None).values() for place in rule.reader.places} - {"labels.timezone"}
    assert places <= mapped
