import os
from dataclasses import replace

import numpy as np
import pytest
from phylib.io.model import load_model
from pydantic import ValidationError
from spikeinterface import load_sorting_analyzer
from spikeinterface.core.binaryrecordingextractor import BinaryRecordingExtractor
from spikeinterface.extractors import read_phy

from lussac.errors import FolderError
from lussac.modules import EXPORT_MARKER, export_to_phy, export_to_sigui
from lussac.sortings import CATEGORY, content_hash, keep, unit_ids
from tests.ground_truth import ground_truth, trains_of
from tests.modules.conftest import sorting_of
from tests.tiny import GAIN, make_probe

BOTH = pytest.mark.parametrize("module", [export_to_phy.MODULE, export_to_sigui.MODULE], ids=["phy", "sigui"])


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """A recording on the disk, and a sorting with categories and a unit without spikes."""
    made, truth = ground_truth(4.0, neurons=4)
    file = tmp_path_factory.mktemp("recording") / "recording.dat"
    made.get_traces().tofile(file)
    recording = BinaryRecordingExtractor([file], 30_000.0, "int16", 8, gain_to_uV=GAIN, offset_to_uV=0.0)
    recording.set_probe(make_probe(8))
    sorting = sorting_of({unit + 10: train[0] for unit, train in trains_of(truth).items()} | {99: []}, (120_000,))
    sorting.set_property(CATEGORY, np.array(["CS", "SS", "", "SS", "CS"]))
    sorting.set_property("lussac_source", np.array([f"a:{unit}" for unit in unit_ids(sorting)]))
    return recording, sorting


def export(module, context, sortings, path, **params):
    return module.run(sortings, module.params.model_validate({"path": path, **params}), context)


def contents(folder):
    return {file.relative_to(folder): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def column(folder, name):
    lines = (folder / f"cluster_{name}.tsv").read_text().splitlines()
    assert lines[0].split("\t") == ["cluster_id", name]
    return [line.split("\t")[1] for line in lines[1:]]


@BOTH
def test_sortings_pass_through_and_the_folder_is_named(make_context, case, tmp_path, module):
    recording, sorting = case
    before = content_hash(sorting)
    outcome = export(module, make_context(recording), {"a": sorting}, tmp_path / "out")
    assert outcome.sortings == {"a": sorting}
    assert outcome.exports == (tmp_path / "out",)
    assert content_hash(sorting) == before
    assert (tmp_path / "out" / EXPORT_MARKER).is_file()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_phy_opens_what_was_exported(make_context, case, tmp_path):
    recording, sorting = case
    params = {"export_params": {"compute_amplitudes": True}, "estimate_contamination": {"SS": [0.3, 1.0]}}
    export(export_to_phy.MODULE, make_context(recording), {"a": sorting}, tmp_path / "out", **params)
    found = read_phy(tmp_path / "out")
    assert [train[0].tolist() for train in trains_of(found).values()] == [
        train[0].tolist() for train in list(trains_of(sorting).values())[:4]
    ]
    model = load_model(tmp_path / "out" / "params.py")
    assert model.n_templates == 4
    assert model.traces.shape == (120_000, 8)
    assert model.amplitudes.shape == model.spike_times.shape
    assert {"lussac_category", "lussac_source", "lussac_contamination"} <= set(model.metadata)
    model.close()
    assert column(tmp_path / "out", "lussac_category") == ["CS", "SS", "", "SS"]
    assert column(tmp_path / "out", "lussac_source") == ["a:10", "a:11", "a:12", "a:13"]
    contamination = column(tmp_path / "out", "lussac_contamination")
    assert [value == "" for value in contamination] == [True, False, True, False]


def test_the_analyzer_opens_and_holds_what_the_gui_shows(make_context, case, tmp_path):
    recording, sorting = case
    export(export_to_sigui.MODULE, make_context(recording), {"a": sorting}, tmp_path / "out")
    analyzer = load_sorting_analyzer(tmp_path / "out")
    assert analyzer.unit_ids.tolist() == [10, 11, 12, 13]
    assert analyzer.has_recording()
    shown = {"random_spikes", "waveforms", "templates", "noise_levels", "template_similarity", "unit_locations", "correlograms"}
    assert {*shown, "spike_amplitudes"} == set(analyzer.get_loaded_extension_names())
    templates = analyzer.get_extension("templates").get_templates()
    for index, unit in enumerate(analyzer.unit_ids):
        waveforms = analyzer.get_extension("waveforms").get_waveforms_one_unit(unit, force_dense=True)
        np.testing.assert_allclose(waveforms.mean(axis=0), templates[index], atol=1e-3)
    assert analyzer.get_sorting_property("lussac_category").tolist() == ["CS", "SS", "", "SS"]


def test_the_analyzer_holds_what_spikeinterface_computes(make_context, case, tmp_path):
    recording, sorting = case
    options = {"wvf_extraction": {"max_spikes_per_unit": 10**6, "sparse": False}, "principal_components": {"n_components": 2}}
    export(export_to_sigui.MODULE, make_context(recording), {"a": sorting}, tmp_path / "out", **options)
    ours = load_sorting_analyzer(tmp_path / "out")
    theirs = ours.copy()
    assert ours.has_extension("principal_components")
    theirs.compute("random_spikes", method="all")
    theirs.compute("templates", ms_before=1.0, ms_after=3.0, progress_bar=False)
    theirs.compute("spike_amplitudes", progress_bar=False)
    for name in ("templates", "spike_amplitudes"):
        expected = theirs.get_extension(name).get_data()
        np.testing.assert_allclose(
            ours.get_extension(name).get_data(), expected, rtol=1e-3, atol=0.5 if name == "templates" else 0.05
        )


@BOTH
def test_equal_exports_are_equal_bytes(make_context, case, tmp_path, module):
    recording, sorting = case
    for name, n_jobs in (("one", 1), ("two", 2)):
        export(module, make_context(recording, n_jobs=n_jobs), {"a": sorting}, tmp_path / name)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


@BOTH
def test_several_analyses_have_a_folder_each(make_context, case, tmp_path, module, caplog):
    recording, sorting = case
    sortings = {"a": sorting, "b": keep(sorting, [10]), "c": keep(sorting, [99]), "d": keep(sorting, [])}
    export(module, make_context(recording), sortings, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [EXPORT_MARKER, "a", "b"]
    assert "c has no spikes" in caplog.text
    assert "d has no spikes" in caplog.text


@BOTH
def test_nothing_to_export_makes_no_folder(make_context, case, tmp_path, module):
    recording, sorting = case
    outcome = export(module, make_context(recording), {"a": keep(sorting, [99])}, tmp_path / "out")
    assert outcome.exports == ()
    assert not (tmp_path / "out").exists()


@BOTH
def test_an_earlier_export_is_replaced_but_nothing_else(make_context, case, tmp_path, module):
    recording, sorting = case
    context, path = make_context(recording), tmp_path / "out"
    export(module, context, {"a": sorting}, path)
    (path / ".phy").mkdir()
    (path / ".phy" / "state.json").touch()
    (path / "phy.log").touch()
    export(module, context, {"a": keep(sorting, [10, 11])}, path)
    assert not (path / "phy.log").exists()
    assert [found.name for found in tmp_path.iterdir() if "out" in found.name] == ["out"]
    (path / EXPORT_MARKER).unlink()
    kept = contents(path)
    with pytest.raises(FolderError, match="is not an export of Lussac"):
        export(module, context, {"a": sorting}, path)
    assert contents(path) == kept


@BOTH
def test_an_edited_export_is_kept_beside_the_new_one(make_context, case, tmp_path, module, caplog):
    recording, sorting = case
    context, path = make_context(recording), tmp_path / "out"
    for number in (1, 2):
        export(module, context, {"a": sorting}, path)
        (path / "mine.tsv").write_text(f"curated {number}")
        later = (path / EXPORT_MARKER).stat().st_mtime + 60  # the clock of files is coarse, curation takes a while
        os.utime(path / "mine.tsv", (later, later))
    export(module, context, {"a": sorting}, path)
    assert [(tmp_path / f"out.edited-{number}" / "mine.tsv").read_text() for number in (1, 2)] == ["curated 1", "curated 2"]
    assert not (path / "mine.tsv").exists()
    assert f"is kept as {tmp_path / 'out.edited-2'}" in caplog.text


@BOTH
def test_the_marker_tells_exports_apart(make_context, case, tmp_path, module):
    recording, sorting = case
    for seed in (1, 2):
        export(module, make_context(recording, seed=seed), {"a": sorting}, tmp_path / str(seed))
    assert (tmp_path / "1" / EXPORT_MARKER).read_text() != (tmp_path / "2" / EXPORT_MARKER).read_text()


@BOTH
def test_an_interrupted_export_leaves_the_earlier_one(make_context, case, tmp_path, module, monkeypatch):
    recording, sorting = case
    context, path = make_context(recording), tmp_path / "out"
    export(module, context, {"a": sorting}, path)
    kept = contents(path)

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("lussac.modules._export.attach_similarity", interrupt)
    with pytest.raises(KeyboardInterrupt):
        export(module, context, {"a": sorting}, path)
    assert contents(path) == kept
    assert [found.name for found in tmp_path.iterdir() if found.name.startswith(".")] == []


@BOTH
def test_what_a_killed_run_left_goes(make_context, case, tmp_path, module):
    recording, sorting = case
    for state in ("unfinished", "replaced"):
        (tmp_path / f".out.{state}-export" / "half").mkdir(parents=True)
    export(module, make_context(recording), {"a": sorting}, tmp_path / "out")
    assert [found.name for found in tmp_path.iterdir() if found.name.startswith(".")] == []
    assert not (tmp_path / "out" / "half").exists()


@BOTH
def test_segments_and_one_channel(make_context, tmp_path, module):
    recording, sorting = ground_truth(2.0, 1.0, channels=1, neurons=2)
    copy = {"export_params": {"copy_binary": True}} if module is export_to_phy.MODULE else {}
    export(module, make_context(recording), {"a": sorting}, tmp_path / "out", **copy)
    if module is export_to_phy.MODULE:
        (first, second), *_ = trains_of(sorting).values()
        expected = [*first.tolist(), *(second + 60_000).tolist()]
        assert trains_of(read_phy(tmp_path / "out"))[0][0].tolist() == expected
        copied = np.fromfile(tmp_path / "out" / "recording.dat", np.int16)
        assert len(copied) == 90_000
    else:
        assert load_sorting_analyzer(tmp_path / "out").get_num_segments() == 2


def test_a_recording_in_the_scratch_folder_is_not_named(make_context, tmp_path, case):
    made, sorting = case
    made.get_traces().tofile(tmp_path / "scratch.dat")
    scratch = BinaryRecordingExtractor([tmp_path / "scratch.dat"], 30_000.0, "int16", 8, gain_to_uV=GAIN, offset_to_uV=0.0)
    scratch.set_probe(make_probe(8))
    context = replace(make_context(scratch), source=made.select_channels(made.channel_ids))
    assert context.folder.parent == tmp_path
    export(export_to_phy.MODULE, context, {"a": sorting}, tmp_path / "phy")
    assert "dat_path = []" in (tmp_path / "phy" / "params.py").read_text()
    for band in (None, [300.0, 6000.0]):
        export(export_to_sigui.MODULE, context, {"a": sorting}, tmp_path / "gui", wvf_extraction={"filter_band": band})
        assert "scratch" not in (tmp_path / "gui" / "recording.json").read_text()
        assert load_sorting_analyzer(tmp_path / "gui").recording.get_num_samples() == 120_000
    export(export_to_sigui.MODULE, make_context(scratch), {"a": sorting}, tmp_path / "gui")
    assert not load_sorting_analyzer(tmp_path / "gui").has_recording()


@pytest.mark.parametrize("options", [{"template_mode": "median"}, {"compute_pc_features": True}, {"copy_binary": True}])
def test_more_of_phy(make_context, case, tmp_path, options):
    recording, sorting = case
    export(export_to_phy.MODULE, make_context(recording), {"a": sorting}, tmp_path / "out", export_params=options)
    model = load_model(tmp_path / "out" / "params.py")
    assert model.n_templates == 4
    np.testing.assert_array_equal(model.traces[1000:1100], recording.get_traces(start_frame=1000, end_frame=1100))
    if "compute_pc_features" in options:
        assert model.features is not None
    model.close()


@pytest.mark.parametrize(
    "sparsity", [{"method": "best_channels", "num_channels": 2}, {"method": "snr", "threshold": 1e9}, {"radius_um": 25.0}]
)
def test_sparsity(make_context, case, tmp_path, sparsity):
    recording, sorting = case
    export(export_to_phy.MODULE, make_context(recording), {"a": sorting}, tmp_path / "out", wvf_extraction={"sparsity": sparsity})
    used = (np.load(tmp_path / "out" / "template_ind.npy") >= 0).sum(axis=1)
    assert used.min() >= 1
    assert used.max() <= {"best_channels": 2, "snr": 1}.get(sparsity.get("method", ""), 7)


def test_filtered_templates(make_context, case, tmp_path):
    recording, sorting = case
    for name, band in (("raw", None), ("filtered", [300.0, 3000.0])):
        export(
            export_to_phy.MODULE, make_context(recording), {"a": sorting}, tmp_path / name, wvf_extraction={"filter_band": band}
        )
    raw, filtered = (np.load(tmp_path / name / "templates.npy") for name in ("raw", "filtered"))
    assert np.abs(filtered).max() < np.abs(raw).max()


def test_a_path_is_needed():
    for module in (export_to_phy, export_to_sigui):
        with pytest.raises(ValidationError, match="path"):
            module.Params.model_validate({})


@pytest.mark.parametrize("units", [{1: [3]}, {1: [3], 2: [60_000, 60_100]}, {"x": [60_000]}])
def test_phy_shows_units_without_a_template_and_names(make_context, case, tmp_path, units):
    recording, _ = case
    export(export_to_phy.MODULE, make_context(recording), {"a": sorting_of(units, (120_000,))}, tmp_path / "out")
    assert [train[0].tolist() for train in trains_of(read_phy(tmp_path / "out")).values()] == list(units.values())
    assert column(tmp_path / "out", "lussac_unit") == [str(unit) for unit in units]


def test_the_gui_shows_no_units_without_a_template(make_context, case, tmp_path, caplog):
    recording, _ = case
    sortings = {"a": sorting_of({1: [3], 2: [60_000]}, (120_000,)), "b": sorting_of({1: [119_999]}, (120_000,))}
    export(export_to_sigui.MODULE, make_context(recording), sortings, tmp_path / "out")
    assert load_sorting_analyzer(tmp_path / "out" / "a").unit_ids.tolist() == [2]
    assert not (tmp_path / "out" / "b").exists()
    assert "a: units [1] are left out" in caplog.text
