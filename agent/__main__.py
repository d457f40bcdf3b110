"""``python -m agent``: the command ``modeltail``."""

from agent.cli import main

if __name__ == "__main__":
    main()
