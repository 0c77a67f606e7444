"""Fuse the units of several analyses into one set of neurons that explains the recording.

1. `candidates`: all units are aligned and measured, without spikes under louder ones (`overlaps`); the set that explains the
   spikes best is chosen (`evidence`, `selection`), and units that are the sum of two others (`sums`) are replaced by both.
2. `refinement`: the chosen units compete for the spikes that all candidates propose (`pool`, `matching`, `pursuit`,
   `fitting`), and learn from what is left of the recording what they look like (`learning`).
3. `splits`: a unit whose spikes leave two different residuals (`residuals`) is two neurons. `joins`: two units that nobody can
   tell apart are one, also where one follows the other (`turns`, `meetings`).
4. `agreed`: what analyses agree on and no unit stands for, since its spikes hardly stand out of the noise.
5. `confidence`: what speaks for each unit (what the analyses have of it: `support`; its amplitudes and its times: `regularity`),
   and the probability that it is right.

`settling` is 2 and 3 until nothing changes, for a long recording on pieces of it (`excerpt`). `fuse.fuse` does all of it. The
recording is read in chunks through `source.Source`; nothing grows with its length but the trains.
"""
