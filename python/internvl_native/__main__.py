"""`python -m internvl_native`: the command line."""

from __future__ import annotations

import sys

from internvl_native.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
