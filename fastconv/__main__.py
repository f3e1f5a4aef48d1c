"""``python -m fastconv``: the command line."""

import sys

from fastconv.cli import main

sys.exit(main())
