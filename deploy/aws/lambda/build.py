"""Builds the function's zip: ``make lambda``. The same code makes the same bytes, on every machine and at any time."""

import sys
import zipfile
from pathlib import Path

HERE = Path(__file__).parent
PACKAGE = "modeltail_lambda"
ZIP = HERE / "build" / "modeltail-lambda.zip"
_EPOCH = (1980, 1, 1, 0, 0, 0)
_MODE = 0o100644 << 16
_UNIX = 3


def build(target: Path) -> None:
    """Write the zip."""
    target.parent.mkdir(parents=True, exist_ok=True)
    # Stored, not deflated: versions of zlib differ in what they make of the same bytes.
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted((HERE / PACKAGE).glob("*.py")):
            entry = zipfile.ZipInfo(f"{PACKAGE}/{path.name}", _EPOCH)
            entry.external_attr, entry.create_system = _MODE, _UNIX
            archive.writestr(entry, path.read_bytes())


if __name__ == "__main__":
    build(Path(sys.argv[1]) if len(sys.argv) > 1 else ZIP)
