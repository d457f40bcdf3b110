"""``python -m examples.model LOG_FILE``."""

import sys
from pathlib import Path

from examples.model.server import serve

if __name__ == "__main__":
    serve(Path(sys.argv[1]))
