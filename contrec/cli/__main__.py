"""``python -m contrec.cli``."""

import sys

from contrec.cli import main

if __name__ == "__main__":
    sys.exit(main())
