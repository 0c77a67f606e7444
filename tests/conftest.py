"""Fixtures that all tests share."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of real recordings and ground-truth cases that may lie beside the checkout."""
    folder = Path(__file__).parents[2] / "shared"
    if not (folder / "data").is_dir():
        pytest.skip("needs the real recordings in ../shared, which are not part of the repository")
    return folder
