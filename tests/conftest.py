"""Fixtures that all tests share."""

from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("lussac", deadline=None, derandomize=True)  # a first call may compile; a failure must come again
settings.load_profile("lussac")


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of real recordings and ground-truth cases that may lie beside the checkout."""
    folder = Path(__file__).parents[2] / "shared"
    if not (folder / "data").is_dir():
        pytest.skip("needs the real recordings in ../shared, which are not part of the repository")
    return folder
