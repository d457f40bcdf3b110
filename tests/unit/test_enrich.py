"""Enriching: what every record of a batch has in common."""

from agent.processors.enrich import ECS_VERSION, enrich
from agent.record import Batch, Counts, Table

IDENTITY = {"host.name": b'"h"', "ml.model.name": b'"m"'}


def enriched(
    table: Table, columns: dict[str, list[bytes]] | None = None, constants: dict[str, bytes] | None = None
) -> Table:
    """The table after enriching a batch of four lines."""
    batch = Batch("in", None, 1_763_805_600_341_999_999, [b""] * 4, columns or {}, constants or {}, Counts(), [table])
    enrich(batch, IDENTITY)
    return batch.tables[0]


def test_constants() -> None:
    """Identity, data stream, versions, and the time of reading, in milliseconds."""
    table = enriched(Table(("message",), [[b'"a"']], [0], dataset="d", namespace="n"))
    assert table.constants == {
        **IDENTITY,
        "ecs.version": f'"{ECS_VERSION}"'.encode(),
        "data_stream.type": b'"logs"',
        "data_stream.dataset": b'"d"',
        "data_stream.namespace": b'"n"',
        "event.dataset": b'"d"',
        "event.created": b'"2025-11-22T10:00:00.341Z"',
    }


def test_input_says_more_than_identity() -> None:
    """What the input knows of its source is truer than what the agent is configured with."""
    table = enriched(Table((), [], [0]), constants={"host.name": b'"sender"', "log.file.path": b'"/a"'})
    assert (table.constants["host.name"], table.constants["log.file.path"]) == (b'"sender"', b'"/a"')


def test_records_own_columns_are_never_overwritten() -> None:
    """What a record says of itself stays; neither a constant nor an input's column replaces it."""
    table = Table(("ml.model.name", "log.offset"), [[b'"mine"'], [b"7"]], [0])
    table = enriched(table, columns={"log.offset": [b"0"] * 4})
    assert table.columns == [[b'"mine"'], [b"7"]]
    assert "ml.model.name" not in table.constants


def test_columns_follow_the_rows() -> None:
    """An input's column has one value for each line of the batch; a table takes those of its rows."""
    table = enriched(Table(("message",), [[b'"b"', b'"d"']], [1, 3]), columns={"log.offset": [b"0", b"5", b"9", b"12"]})
    assert table.places == ("message", "log.offset")
    assert list(table.columns[1]) == [b"5", b"12"]


def test_model_of_an_llm_call_names_the_model_only_where_nobody_else_does() -> None:
    """The model asked for is a weak source of the model's name."""
    call = Table(("gen_ai.request.model",), [[b'"gpt"']], [0])
    assert enriched(call).places == ("gen_ai.request.model",)
    batch = Batch("in", None, 0, [b""], {}, {}, Counts(), [Table(("gen_ai.request.model",), [[b'"gpt"']], [0])])
    (table,) = enrich(batch, {}).tables
    assert dict(zip(table.places, table.columns, strict=True))["ml.model.name"] == [b'"gpt"']


def with_sparse(tables: list[Table], sparse: dict[str, list[bytes]]) -> list[dict[str, list[bytes]]]:
    """Each table after enriching, as its columns by place."""
    batch = Batch("in", None, 0, [b""] * 4, {}, {}, Counts(), tables, sparse)
    enrich(batch, {})
    return [{p: list(map(bytes, c)) for p, c in zip(t.places, t.columns, strict=True)} for t in batch.tables]


def test_what_a_transport_says_fills_what_the_record_does_not() -> None:
    """A header's level goes to the records without one; where the header says nothing, nothing is filled."""
    silent = Table(("message",), [[b'"a"', b'"b"', b'"c"']], [0, 1, 3])
    speaking = Table(("message", "log.level"), [[b'"d"'], [b'"debug"']], [2])
    sparse = {"log.level": [b'"info"', b"", b'"error"', b'"error"'], "process.name": [b'"p"'] * 4}
    assert with_sparse([silent, speaking], sparse) == [
        {"message": [b'"a"', b'"c"'], "log.level": [b'"info"', b'"error"'], "process.name": [b'"p"', b'"p"']},
        {"message": [b'"b"'], "process.name": [b'"p"']},
        {"message": [b'"d"'], "log.level": [b'"debug"'], "process.name": [b'"p"']},
    ]


def test_a_transports_time_replaces_the_time_of_reading_only() -> None:
    """A record's own time stays; where neither has one, the time of reading does, and says so."""
    places = ("message", "@timestamp", "labels.timestamp")
    untimed = Table(places, [[b'"a"', b'"b"'], [b'"now"'] * 2, [b'"read"'] * 2], [0, 1])
    timed = Table(("message", "@timestamp"), [[b'"c"'], [b'"own"']], [2])
    assert with_sparse([untimed, timed], {"@timestamp": [b'"sent"', b"", b'"sent"', b""]}) == [
        {"message": [b'"a"'], "@timestamp": [b'"sent"']},
        {"message": [b'"b"'], "@timestamp": [b'"now"'], "labels.timestamp": [b'"read"']},
        {"message": [b'"c"'], "@timestamp": [b'"own"']},
    ]


def test_our_models_version_is_not_stamped_on_another_model() -> None:
    """A record that names another model gets nothing that is known of ours; one that names ours does."""
    identity = {"ml.model.name": b'"ours"', "ml.model.version": b'"3"', "host.name": b'"h"'}
    named = Table(("ml.model.name",), [[b'"ours"', b'"other"', b'"ours"']], [0, 1, 3])
    versioned = Table(("ml.model.name", "ml.model.version"), [[b'"other"'], [b'"7"']], [2])
    batch = enrich(Batch("in", None, 0, [b""] * 4, {}, {}, Counts(), [named, versioned]), identity)
    found = [(list(t.rows), t.constants.get("ml.model.version"), t.constants["host.name"]) for t in batch.tables]
    assert found == [([0, 3], b'"3"', b'"h"'), ([1], None, b'"h"'), ([2], None, b'"h"')]
    assert list(batch.tables[2].columns[1]) == [b'"7"']
