"""What long runs have in common: servers come and go, and nobody needs a line for each try to reach one."""

from __future__ import annotations

import logging

logging.getLogger("goque.postgres").setLevel(logging.ERROR)
