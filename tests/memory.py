"""How much memory some work takes."""

import tracemalloc
from collections.abc import Callable


def most_bytes(work: Callable[[], object]) -> int:
    """Return the largest memory that Python and NumPy ask for during some work, more than before it."""
    tracemalloc.start()
    work()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most
