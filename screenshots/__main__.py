"""``python -m screenshots``."""

import sys

from screenshots import main

if __name__ == "__main__":  # not in the processes that the scenarios run in
    sys.exit(main())
