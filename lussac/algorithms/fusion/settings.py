"""The few numbers that fusing depends on, and why they have these values."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Settings:
    """Numbers of the method; times in ms.

    Parameters
    ----------
    before, after
        Window of the waveforms around the largest deflection.
    max_shift
        How far a sorter's positions may lie from the largest deflection.
    coincidence
        Spikes of two units within this time are the same event.
    censored, refractory
        Periods for the estimate of contamination.
    channels
        Strongest channels of a unit that its template has.
    template_spikes
        Spikes that a candidate's mean waveform is made of, evenly spread over the recording.
    min_spikes
        Units with fewer spikes are not considered.
    spike_cost
        Share of an event's explainable energy that a unit must explain for the event to speak for the unit.
    unit_cost
        Events that a unit must explain beyond that to be taken at all.
    similar, alike
        Cosine of two waveforms: from `similar` on a candidate that also shares events, from `alike` on any candidate may hold
        spikes of a unit.
    shared
        Share of the smaller train's spikes that a candidate must have in common with a unit to propose its other spikes.
    overlap
        Largest distance of two neurons' spikes that sorters take for one.
    unexplained
        Share of a mean waveform's energy that may be left, apart from its noise, where it is the sum of two others. On generated
        recordings it was mostly below 0.03 for such sums; but a neuron between two others may look like their sum, too.
    resolved
        Share of the spikes of such a sum at which both of the others are found by some analysis, if it is one.
    resolved_both
        The same, where one analysis finds both at once at some of the spikes.
    shadow
        Share of a unit's spikes beside those of one louder unit from which on it is only what that one's template leaves: neurons
        that fire together also fire alone.
    evidence
        Gain (twice the log-likelihood) that a proposed spike must bring: e^-5 is how unlikely it may be beforehand.
    unknown
        Gain that a proposed spike must bring beyond that where it comes from candidates that only look like the unit: of those
        that share spikes with the unit none has it.
    one
        Distance of two mean waveforms, in standard deviations of the noise along it, below which nobody could tell spikes of
        one from spikes of the other: as single spikes, more than a fifth would be mistaken. On generated recordings it was mostly
        below 1.1 for parts of one neuron that are active at the same time, and above 1.8 for two neurons.
    one_resolved, agreed
        The same where at least `agreed` analyses have a unit for each of the two.
    two
        Distance of two groups of single spikes, in standard deviations, that shows two neurons: a fortieth would be mistaken. On
        generated recordings it was mostly below 3.5 where overlaps were not resolved, and above 5 where a unit held two neurons.
    size
        The same for the amplitudes of two groups of one shape that come independently of each other: one in a thousand would be
        mistaken. Amplitudes vary otherwise than by noise, so that less tells nothing.
    hidden
        Share of the difference of two groups of a unit's spikes that may be another unit's waveform: more, and the groups are
        spikes with and without one of that unit's beside them. On generated recordings it was 0.9 or more then, and 0.3 to 0.7
        where a unit held two neurons.
    beside
        How much more of the spikes that a candidate has in a unit may have another unit's beside them than of the rest: more, and
        they are overlaps that a sorter did not resolve. On generated recordings it was 0.6 or more then, and below 0 where a unit
        held two neurons.
    together
        Units that are active at the same time less often than this share of chance take turns.
    turn
        Seconds within which units count as active at the same time.
    turned
        Share of its norm that a waveform may change from one turn to the next.
    meeting
        Spikes of each of two units, nearest in time to the other's, that tell whether one continues the other.
    same_size
        Largest difference of the amplitudes of parts of one neuron, as a logarithm.
    turned_size
        The same for units of one shape that take turns.
    part
        Smallest share of a unit's spikes that is tested for being another neuron.
    block, max_blocks
        Seconds within which a waveform is taken as constant, and the largest number of such blocks: a longer recording gets
        longer blocks.
    chunk
        Seconds of the recording that are read at a time.
    rounds
        Largest number of rounds of splitting and joining.
    learned, learned_share, piece
        Seconds, and share of the recording, whichever is more, from which it is learned what units there are, and seconds of each
        piece of that; all of the recording if it is less than twice as long.
    heard
        Spikes in these pieces that a unit must have at least to be learned from them.
    """

    before: float = 0.67
    after: float = 1.33
    max_shift: float = 1.33
    coincidence: float = 0.4
    censored: float = 0.2
    refractory: float = 1.9
    channels: int = 16
    template_spikes: int = 1000
    min_spikes: int = 15
    spike_cost: float = 0.2
    unit_cost: float = 10.0
    similar: float = 0.5
    alike: float = 0.9
    shared: float = 0.2
    overlap: float = 0.8
    unexplained: float = 0.06
    resolved: float = 0.3
    resolved_both: float = 0.1
    shadow: float = 0.8
    evidence: float = 10.0
    unknown: float = 20.0
    one: float = 1.5
    one_resolved: float = 1.0
    agreed: int = 2
    two: float = 4.0
    size: float = 6.0
    hidden: float = 0.8
    beside: float = 0.5
    together: float = 0.5
    turn: float = 5.0
    turned: float = 0.25
    meeting: int = 20
    same_size: float = 0.2
    turned_size: float = 0.6
    part: float = 0.08
    block: float = 10.0
    max_blocks: int = 16
    chunk: float = 1.0
    rounds: int = 3
    learned: float = 240.0
    learned_share: float = 0.2
    piece: float = 10.0
    heard: int = 5
