"""Spike sorters: one run of one sorter is checked, prepared, found again if it is unchanged, else run on an engine."""

from lussac.sorters.folder import Finished, Stale, find
from lussac.sorters.job import SorterJob, prepare, problems
from lussac.sorters.run import described, sort, sort_all

__all__ = ["Finished", "SorterJob", "Stale", "described", "find", "prepare", "problems", "sort", "sort_all"]
