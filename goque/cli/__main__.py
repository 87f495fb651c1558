"""``python -m goque.cli``, for where the script is not on the path. Not for: anything else."""

import sys

from goque.cli import main

sys.exit(main())
