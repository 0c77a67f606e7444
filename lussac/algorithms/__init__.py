"""Numbers in, numbers out: no files, no logging, no SpikeInterface."""
