"""The command ``lussac``, also as ``python -m lussac``."""

import sys

from lussac.cli import main

if __name__ == "__main__":
    sys.exit(main())
