from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lussac.algorithms.fusion.agreed import agreed, as_given, completed
from lussac.algorithms.fusion.candidates import prepare
from lussac.algorithms.fusion.fuse import completed_by, fuse
from lussac.algorithms.fusion.support import Support
from lussac.algorithms.fusion.trains import Flat

from .conftest import spread_trains

WINDOW, LEAST = 4, 10
few = settings(max_examples=15, deadline=None)


@pytest.fixture(scope="module")
def quiet(make, world):
    """A world whose third neuron nobody sees in the traces."""
    return make(world.waveforms * np.array([1, 1, 0], np.float32)[:, None, None], [train.copy() for train in world.trains])


def candidates_of(world, trains, analyses):
    return prepare(world.source, world.chunks, trains, analyses, world.settings)


def found(world, candidates, trains):
    return agreed(Flat.of(trains), candidates, WINDOW, world.source.total, LEAST)


def test_what_analyses_agree_on_is_found_where_no_unit_stands_for_it(quiet):
    own = quiet.trains[2]
    rng = np.random.default_rng(0)
    trains = [own[rng.random(len(own)) > 0.1] for _ in range(3)]
    candidates = candidates_of(quiet, [*trains, quiet.trains[0]], [0, 1, 2, 0])
    (one,) = found(quiet, candidates, [quiet.trains[0]])
    assert sorted(one.members) == [0, 1, 2]
    assert np.isin(one.train, own).mean() > 0.95
    assert len(one.train) > 0.9 * len(own)


def test_what_a_unit_stands_for_is_not_found_again_nor_are_merged_pairs_and_parts(world):
    a, b, _ = world.trains
    merged, part = np.unique(np.concatenate([a, b])), a[::3]
    candidates = candidates_of(world, [merged, merged, part, part, a], [0, 1, 0, 1, 2])
    assert found(world, candidates, [candidates.trains[4], b]) == []


def test_one_analysis_does_not_agree_with_itself_and_few_spikes_are_not_enough(quiet):
    own = quiet.trains[2]
    assert found(quiet, candidates_of(quiet, [own, own], [0, 0]), [quiet.trains[0]]) == []
    few_spikes = candidates_of(quiet, [own[:12], own[:12]], [0, 1])
    assert len(found(quiet, few_spikes, [quiet.trains[0]])) == 1
    assert agreed(Flat.of([quiet.trains[0]]), few_spikes, WINDOW, quiet.source.total, 13) == []


@few
@given(st.integers(0, 2**31))
def test_trains_of_chance_do_not_agree(quiet, seed):
    trains = spread_trains((60, 60, 60, 60), seed, len(quiet.traces))
    assert found(quiet, candidates_of(quiet, trains, [0, 1, 2, 3]), [quiet.trains[0]]) == []


def test_spikes_lie_where_the_analyses_have_them(quiet):
    own = quiet.trains[2]
    candidates = candidates_of(quiet, [own, own + 1], [0, 1])
    moved = replace(candidates, trains=candidates.trains.moved(3), shifts=candidates.shifts + 3)
    given_ = as_given(moved)
    assert given_.trains[0].tolist() == own.tolist()
    assert given_.trains[1].tolist() == (own + 1).tolist()


def test_a_quiet_unit_gets_the_spikes_that_three_analyses_have_and_others_get_none(quiet):
    own = quiet.trains[2]
    candidates = candidates_of(quiet, [own, own, own, own[::2]], [0, 1, 2, 3])
    most, few_backing = ([Support((part,), 0.6) for part in parts] for parts in ([0, 1, 2], [0, 1]))
    units = Flat.of([candidates.trains[0][::2]] * 3)
    after = completed(units, np.array([4.0, 9.0, 4.0]), [most, most, few_backing], candidates, WINDOW)
    assert after[0].tolist() == candidates.trains[0].tolist()
    assert [after[unit].tolist() for unit in (1, 2)] == [units[unit].tolist() for unit in (1, 2)]
    turns = [Support((0, 3), 0.9), *most[1:]]
    assert completed(units, np.full(3, 4.0), [turns] * 3, candidates, WINDOW)[0].tolist() == units[0].tolist()


def test_what_analyses_have_of_a_unit_is_counted_after_it_got_their_spikes(quiet):
    own = quiet.trains[2]
    candidates = candidates_of(quiet, [own, own, own], [0, 1, 2])
    half = Flat.of([candidates.trains[0][: len(own) * 2 // 3]])
    quieter, supported = completed_by(quiet.source, half, np.array([4.0]), candidates, quiet.settings)
    assert quieter[0].tolist() == candidates.trains[0].tolist()
    assert supported[0][0].agreement == 1
    louder, supported = completed_by(quiet.source, half, np.array([9.0]), candidates, quiet.settings)
    assert louder is half
    assert supported[0][0].agreement < 0.8


def test_fusion_gives_what_only_agreement_shows_with_members_and_a_confidence(quiet):
    own = quiet.trains[2]
    trains = [*quiet.trains[:2], own, *quiet.trains[:2], own + 1]
    fused = fuse(quiet.source, trains, [0, 0, 0, 1, 1, 1], quiet.settings)
    assert len(fused.trains) == len(fused.members) == len(fused.confidence) == len(fused.evidence.agreement) == 3
    assert sorted(fused.members[2]) == [2, 5]
    assert fused.evidence.agreement[2] > 0.9
    assert fused.evidence.detectability[2] < fused.evidence.detectability[:2].min()
    assert fused.confidence[2] < fused.confidence[:2].min()
