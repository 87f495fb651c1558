"""Waiting and interrupts in the installed kernel. Not for: other versions of it (``make kernels``)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import kernels
from tests.integration.conftest import SECRET


@pytest.mark.direct
@pytest.mark.timeout(120)
def test_interrupts_end_the_waiting_and_the_panel_goes_on(dsn: str, tmp_path: Path) -> None:
    assert kernels.attempt({"GOQUE_DSN": dsn, "GOQUE_SECRET": SECRET}, tmp_path / "gate")
