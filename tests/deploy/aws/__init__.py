"""The function's package lies where AWS's tools look for it, outside of any package of ours."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3] / "deploy" / "aws" / "lambda"))
