"""The damage matrix of docs/reliability.md, from what the cases do when they are run: ``python -m
tests.queue.damage_matrix``."""

from tests.queue.damages import BATCHES, DAMAGES, RECORDS, Damage, Outcome, outcome_of

_HEAD = "| damage | what survives | what is counted | what the log says |\n| --- | --- | --- | --- |"


def matrix() -> str:
    """The table, in Markdown."""
    return "\n".join([_HEAD, *(_row(damage, outcome_of(damage)) for damage in DAMAGES)])


def _row(damage: Damage, outcome: Outcome) -> str:
    said = " ".join(f"`{sentence}`" for sentence in outcome.said) or "–"
    return f"| {damage.name} | {_survives(damage, outcome)} | {_counted(outcome)} | {said} |"


def _survives(damage: Damage, outcome: Outcome) -> str:
    queued = (len(BATCHES) - damage.delivered) * RECORDS
    came = len([batch for batch in outcome.came if batch > damage.delivered]) * RECORDS
    parts = [f"{came} of {queued} queued records" if queued else "nothing was queued"]
    lost = len(BATCHES) - outcome.position
    parts.append(f"the position before the last {lost * RECORDS} records" if lost else "the position")
    if outcome.aside:
        parts.append("what is damaged, in `damaged/`")
    return "; ".join(parts)


def _counted(outcome: Outcome) -> str:
    parts = [f"{n} `{fate}`" for fate, n in sorted(outcome.fates.items()) if n]
    if outcome.missing:
        parts.append(f"{outcome.missing} from the input `?`")
    if outcome.repeated:
        parts.append(f"{len(outcome.repeated) * RECORDS} sent again under the same ids")
    return ", ".join(parts) or "–"


def main() -> None:
    """Print it."""
    print(matrix())


if __name__ == "__main__":
    main()
