"""Words of the command line as options of a run."""

import argparse

from lussac.pipeline import Options


def options(chosen: argparse.Namespace) -> Options:
    """Return the options that were chosen."""
    return Options(
        jobs=chosen.jobs,
        engine=chosen.engine,
        locked=chosen.locked,
        offline=chosen.offline,
        memory=None if chosen.memory is None else round(chosen.memory * 1e9),
        seconds=None if chosen.time_limit is None else chosen.time_limit * 3600,
        allow_failed_sorters=chosen.allow_failed_sorters,
        keep_stale=chosen.keep_stale,
    )
