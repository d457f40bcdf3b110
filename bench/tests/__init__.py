"""What the benchmark must not get wrong: its counting, its verdicts, its answers."""
