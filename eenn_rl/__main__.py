"""``python -m eenn_rl`` is ``eenn-rl``."""

import sys

from eenn_rl.cli import main

if __name__ == "__main__":
    sys.exit(main())
