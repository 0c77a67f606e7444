"""One recording, several spike sorters, one set of single neurons."""

__version__ = "3.0.0.dev0"
