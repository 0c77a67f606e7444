"""Runs the earlier program on a params.json; started by run.py in an environment of its own.

PEER/bin/python benchmarks/peer.py PARAMS RESULT.npz
"""

import sys
import warnings

import spikeinterface.core as si
from lussac.core import LussacData, LussacParams, LussacPipeline

if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    data = LussacData.create_from_params(LussacParams.load_from_json_file(sys.argv[1]))
    LussacPipeline(data).launch()
    (merged,) = data.sortings.values()
    si.NpzSortingExtractor.write_sorting(merged, sys.argv[2])
