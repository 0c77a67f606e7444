import errno
import json
import logging
import os
import shutil

import numpy as np
import probeinterface
import pytest
import spikeinterface.core as si
import spikeinterface.preprocessing as spre

from lussac import loading
from lussac import recording as rec
from lussac.errors import FolderError, InputError
from lussac.params import RecordingParams
from lussac.preprocessing import fingerprint, preprocess

RATE, CHANNELS = 20_000.0, 4
log = logging.getLogger("test")


def tetrode(path, channels=CHANNELS, indices=None):
    probe = probeinterface.generate_linear_probe(channels)
    if indices is not False:
        probe.set_device_channel_indices(range(channels) if indices is None else indices)
    probeinterface.write_probeinterface(path, probe)
    return path


@pytest.fixture
def raw(tmp_path):
    """Two files of four channels, 2.5 s and 1 s, with a probe."""
    rng = np.random.default_rng(0)
    for name, samples in {"a.dat": 25_000, "b.dat": 10_000}.items():
        rng.normal(0, 100, (samples, CHANNELS)).astype(np.int16).tofile(tmp_path / name)
    tetrode(tmp_path / "probe.json")
    return tmp_path


def params(**changes):
    binary = {"file_paths": ["a.dat", "b.dat"], "num_channels": CHANNELS, "sampling_frequency": RATE, "dtype": "int16"}
    binary |= {"gain_to_uV": 0.5, "offset_to_uV": 3.0}
    return {"recording_extractor": "binary", "extractor_params": binary, "probe_file": "probe.json", **changes}


def binary_params(**changes):
    return params(extractor_params={**params()["extractor_params"], **changes})


def model(folder, given):
    return RecordingParams.model_validate(given, context={"base": folder})


def load(folder, given=None):
    return loading.load(model(folder, given or params()), folder, log)


def problems(folder, given):
    return loading.problems(model(folder, given), folder)


# ---- load


@pytest.mark.parametrize("name", ["binary", "Binary", "BinaryRecordingExtractor", "BINARYRECORDINGEXTRACTOR", "read_binary"])
def test_extractors_by_any_of_their_names(raw, name):
    recording = load(raw, params(recording_extractor=name))
    assert rec.timeline(recording).durations == (25_000, 10_000)
    np.testing.assert_array_equal(recording.get_channel_gains(), [0.5] * CHANNELS)
    assert recording.get_channel_locations().shape == (CHANNELS, 2)


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("SpikeGLXRecordingExtractor", "spikeglx"),
        ("openephys", "openephys"),
        ("OpenEphysBinaryRecordingExtractor", "openephysbinary"),
        ("BinaryFolderRecording", "binaryfolder"),
        ("binary_folder", "binaryfolder"),
        ("CompressedBinaryIblExtractor", "compressedbinaryibl"),
        ("BinDatRecordingExtractor", "binary"),
    ],
)
def test_every_extractor_is_known(raw, name, short):
    found = problems(raw, params(recording_extractor=name, extractor_params={}))
    assert short in loading.extractors()
    assert ("recording_extractor",) not in [path for path, _ in found]


def test_a_saved_recording_is_an_extractor_like_any_other(raw):
    recording = load(raw)
    rec.write_binary(recording, raw / "saved", {})
    given = {"recording_extractor": "binaryfolder", "extractor_params": {"folder_path": "saved"}}
    np.testing.assert_array_equal(load(raw, given).get_traces(1), recording.get_traces(1))


def test_paths_start_at_the_folder_of_the_params(raw, monkeypatch):
    monkeypatch.chdir("/")
    assert load(raw, binary_params(file_paths="a.dat")).get_num_segments() == 1
    assert load(raw, binary_params(file_paths=str(raw / "b.dat"))).get_num_samples() == 10_000


def test_missing_gains_are_assumed_and_told(raw, caplog):
    recording = load(raw, binary_params(gain_to_uV=None, offset_to_uV=None))
    assert "one unit is taken for 1 uV" in caplog.text
    np.testing.assert_array_equal(recording.get_traces(0, 0, 9), recording.get_traces(0, 0, 9, return_in_uV=True))


def test_a_missing_offset_is_zero(raw, caplog):
    recording = load(raw, binary_params(offset_to_uV=None))
    np.testing.assert_array_equal(recording.get_channel_offsets(), [0] * CHANNELS)
    assert not caplog.records


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"recording_extractor": "spikglx"}, "'spikglx' is no recording extractor; did you mean 'spikeglx'?"),
        (
            {"extractor_params": {"file_paths": "a.dat", "dtype": "int16"}},
            "extractor_params: the parameter 'sampling_frequency' is missing",
        ),
        ({"probe_file": "none.json"}, "probe_file: no such file: .*none.json"),
        ({"preprocessing": {"comon_reference": {}}}, "'comon_reference' is no function .*; did you mean 'common_reference'?"),
        ({"preprocessing": {"common_reference": {"operater": "mean"}}}, "common_reference.operater: .*'operator'?"),
        ({"preprocessing": {"bandpass_filter": {"ftypo": "bessel"}}}, "bandpass_filter.ftypo: .*'ftype'?"),
        ({"preprocessing": {"remove_bad_channels": {"sed": 1}}}, "remove_bad_channels.sed: .*'seed'?"),
        ({"preprocessing": {"whiten": {"recording": 1}}}, "whiten.recording: unknown parameter"),
        ({"preprocessing": {"interpolate_bad_channels": {}}}, "the parameter 'bad_channel_ids' is missing"),
        ({"preprocessing": {"whiten": "yes"}}, "whiten: takes its arguments as an object"),
        ({"preprocessing": {"cache": {}}}, "cache: takes the folder"),
    ],
)
def test_what_shows_without_reading_is_told_before(raw, changes, message):
    assert len(problems(raw, params(**changes))) == 1
    with pytest.raises(InputError, match=message):
        load(raw, params(**changes))


def test_all_problems_at_once(raw):
    given = params(
        extractor_params={**params()["extractor_params"], "file_paths": ["a.dat", "x.dat"], "dtpe": 1},
        probe_file="y.json",
        preprocessing={"z": {}},
    )
    paths = [".".join(path) for path, _ in problems(raw, given)]
    assert paths == ["extractor_params.dtpe", "extractor_params.file_paths", "preprocessing.z", "probe_file"]


def test_good_params_have_no_problems(raw):
    steps = {
        "filter": {"band": [300.0, 4000.0], "filter_order": 2, "ftype": "bessel"},
        "common_reference": {"operator": "median"},
        "common_reference_2": {"reference": "single", "ref_channel_ids": [0]},
        "remove_bad_channels": {"method": "mad"},
        "whiten": {"dtype": "float32", "num_chunks_per_segment": 5},
        "bandpass_filter": {"freq_min": 300, "ftype": "bessel"},
        "BandpassFilterRecording": {},
        "gaussian_bandpass_filter": {"freq_min": 300, "freq_max": 4000},
        "cache": "cache",
        "cache_2": {"folder": "cache2"},
    }
    assert problems(raw, params(preprocessing=steps)) == []


@pytest.mark.parametrize(
    ("name", "value"), [("dtype", "nonsense"), ("num_channels", 0), ("num_channels", 10**6), ("sampling_frequency", "x")]
)
def test_unreadable_recordings_are_errors(raw, name, value):
    with pytest.raises(InputError, match="The recording"):
        load(raw, binary_params(**{name: value}))


def test_paths_inside_a_file_and_caches_need_not_exist(raw):
    given = {"file_path": "a.dat", "electrical_series_path": "acquisition/AP", "stream_cache_path": "not/yet"}
    assert problems(raw, params(recording_extractor="nwb", extractor_params=given)) == []
    absolute = loading.absolute_paths(given, raw)
    assert absolute["electrical_series_path"] == "acquisition/AP"
    assert absolute["stream_cache_path"] == str(raw / "not/yet")


@pytest.mark.parametrize("text", ["x" * 5000, "a\0b", "", "/" + "y" * 5000])
def test_texts_that_are_no_paths_are_no_files(raw, text):
    paths = [path for path, _ in problems(raw, binary_params(file_paths=text))]
    assert paths == ([] if text == "" else [("extractor_params", "file_paths")])
    named = load(raw)
    named.annotate(note=text)
    assert rec.content_hash(named, {}) == rec.content_hash(load(raw))


def test_an_empty_file_is_an_error(raw):
    (raw / "empty.dat").touch()
    with pytest.raises(InputError, match="The recording is empty"):
        load(raw, binary_params(file_paths=["empty.dat"]))


def test_a_file_that_is_something_else_is_an_error(raw):
    given = {"recording_extractor": "biocam", "extractor_params": {"file_path": "a.dat"}}
    with pytest.raises(InputError, match="can't be read with the extractor 'biocam'"):
        load(raw, given)


def test_a_recording_without_probe_says_how_to_add_one(raw):
    with pytest.raises(InputError, match=r"no probe.*\n?.*write_probeinterface"):
        load(raw, params(probe_file=None))


@pytest.mark.parametrize(
    ("channels", "indices"), [(5, None), (3, None), (5, False), (4, [0, 1, 2, 4]), (4, [0, 1, 2, -1]), (4, [0, 0, 1, 2])]
)
def test_a_probe_that_does_not_fit_is_an_error(raw, channels, indices):
    tetrode(raw / "probe.json", channels, indices)
    with pytest.raises(InputError, match=f"has 4 channels, but the probe .* has {channels} contacts"):
        load(raw)


def test_probes_that_fit(raw):
    tetrode(raw / "probe.json", 5, [3, -1, 1, 0, 2])
    y = probeinterface.generate_linear_probe(5).contact_positions[:, 1]
    np.testing.assert_array_equal(load(raw).get_channel_locations()[:, 1], y[[3, 2, 4, 0]])
    tetrode(raw / "probe.json", 4, indices=False)
    np.testing.assert_array_equal(load(raw).get_channel_locations()[:, 1], y[:4])


def test_a_damaged_probe_file_is_an_error(raw):
    for text in ("", "{}", "[]", "{", '{"specification": "probeinterface", "probes": [{}]}', "\0"):
        (raw / "probe.json").write_text(text)
        with pytest.raises(InputError, match=r"probe"):
            load(raw)


# ---- preprocess


def test_steps_run_in_order(raw):
    steps = {"common_reference": {"operator": "average"}, "scale": {"gain": 2.0}, "common_reference_2": {"reference": "global"}}
    found = preprocess(load(raw), steps, log).get_traces(0, 0, 100)
    expected = spre.common_reference(spre.scale(spre.common_reference(load(raw), operator="average"), gain=2.0))
    np.testing.assert_array_equal(found, expected.get_traces(0, 0, 100))


def test_the_documented_filter_runs(raw):
    bessel = {"band": [300.0, 6000.0], "filter_order": 2, "ftype": "bessel"}
    steps = {"filter": bessel, "common_reference": {"operator": "median"}}
    assert preprocess(load(raw), steps, log).get_traces(0, 0, 100).std() > 0


def test_random_steps_are_seeded(raw):
    steps = {"whiten": {"dtype": "float32"}}
    first, again = (preprocess(load(raw), steps, log, seed=3).get_traces(0, 0, 100) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    other = preprocess(load(raw), {"whiten": {"dtype": "float32", "seed": 4}}, log, seed=3).get_traces(0, 0, 100)
    assert (other != first).any()


def test_bad_channels_are_named(raw, caplog):
    caplog.set_level(logging.INFO)
    traces = np.fromfile(raw / "a.dat", np.int16).reshape(-1, CHANNELS)
    traces[:, 2] *= 20
    traces.tofile(raw / "a.dat")
    steps = {"remove_bad_channels": {"method": "mad"}}
    found = preprocess(load(raw, binary_params(file_paths="a.dat")), steps, log)
    assert found.channel_ids.tolist() == [0, 1, 3]
    assert found.get_probegroup().get_contact_count() == 3
    assert "Bad channels: 1 of 4 are removed: 2 (noise)." in caplog.text
    preprocess(load(raw, binary_params(file_paths="b.dat")), steps, log)
    assert "No channel is bad." in caplog.text


def test_where_all_channels_are_bad_they_are_named(raw):
    with pytest.raises(InputError, match=r"'remove_bad_channels' failed: every channel is bad: 0 \(noise\), 1 \(noise\)"):
        preprocess(load(raw), {"remove_bad_channels": {"method": "mad", "std_mad_threshold": 0.1}}, log)


def test_bad_channels_are_looked_for_once(raw, caplog):
    caplog.set_level(logging.INFO)
    hashes, steps = {}, {"remove_bad_channels": {"method": "mad", "std_mad_threshold": 0.99}}
    first = preprocess(load(raw), steps, log, hashes=hashes)
    again = preprocess(load(raw), steps, log, hashes=json.loads(json.dumps(hashes)))
    assert caplog.text.count("Looking for bad channels") == 1
    assert 0 < first.get_num_channels() < CHANNELS
    assert again.channel_ids.tolist() == first.channel_ids.tolist()
    preprocess(load(raw), {"center": {}, **steps}, log, hashes=hashes)
    preprocess(load(raw), steps, log, hashes=hashes, seed=1)
    preprocess(load(raw), {"remove_bad_channels": {"method": "mad"}}, log, hashes=hashes)
    assert caplog.text.count("Looking for bad channels") == 4


def test_steps_that_fail_say_which(raw):
    with pytest.raises(InputError, match="The preprocessing 'bandpass_filter' failed"):
        preprocess(load(raw), {"bandpass_filter": {"freq_max": 1e9}}, log)
    with pytest.raises(InputError, match="The preprocessing 'detect_and_remove_bad_channels' failed"):
        preprocess(load(raw), {"detect_and_remove_bad_channels": {"bad_channel_ids": [0, 1, 2, 3]}}, log)


def test_unsigned_recordings_keep_their_microvolts(raw, caplog):
    caplog.set_level(logging.INFO)
    (np.fromfile(raw / "a.dat", np.int16).astype(np.int32) + 2048).astype(np.uint16).tofile(raw / "u.dat")
    recording = load(raw, binary_params(file_paths="u.dat", dtype="uint16"))
    found = preprocess(recording, {}, log)
    assert found.dtype == np.int16
    assert "shifted to signed" in caplog.text
    np.testing.assert_allclose(found.get_traces(return_in_uV=True), recording.get_traces(return_in_uV=True))
    assert preprocess(recording, {"unsigned_to_signed": {"bit_depth": 12}}, log).get_traces().max() < 2048
    assert preprocess(recording, {"bandpass_filter": {}}, log).get_traces(0, 0, 10).dtype == np.int16


def test_preprocessing_leaves_the_recording_as_it_was(raw):
    recording = load(raw)
    before = rec.content_hash(recording)
    steps = {"phase_shift": {"inter_sample_shift": [0, 0.2, 0.4, 0.6]}, "bandpass_filter": {}}
    preprocess(recording, steps, log).get_traces(0)
    assert rec.content_hash(recording) == before


# ---- cache


def test_a_cache_is_written_once_and_used_again(raw, caplog):
    caplog.set_level(logging.INFO)
    steps = {"bandpass_filter": {}, "cache": "made/here"}
    first = preprocess(load(raw), steps, log, base=raw)
    np.testing.assert_array_equal(first.get_traces(1), preprocess(load(raw), {"bandpass_filter": {}}, log).get_traces(1))
    files = {file: file.stat().st_mtime_ns for file in (raw / "made/here").iterdir()}
    assert "used again" not in caplog.text
    more = {"bandpass_filter": {}, "cache": {"folder": "made/here"}, "common_reference": {}}
    again = preprocess(load(raw), more, log, base=raw)
    assert "used again" in caplog.text
    assert {file: file.stat().st_mtime_ns for file in (raw / "made/here").iterdir()} == files
    assert again.get_num_segments() == 2
    assert list((raw / "made").iterdir()) == [raw / "made/here"]


@pytest.mark.parametrize("change", ["data", "steps", "probe", "gain", "marker"])
def test_a_cache_is_written_anew_when_its_source_changes(raw, caplog, change):
    caplog.set_level(logging.INFO)
    preprocess(load(raw), {"bandpass_filter": {}, "cache": "c"}, log, base=raw)
    if change == "data":
        with (raw / "b.dat").open("r+b") as file:
            file.write(b"\1\2\3\4")
    if change == "marker":
        (raw / "c" / "lussac-cache.json").write_bytes(b"\xff{")
    if change == "probe":
        tetrode(raw / "probe.json", 4, [3, 2, 1, 0])
    given = binary_params(gain_to_uV=0.6) if change == "gain" else params()
    steps = {"bandpass_filter": {"freq_min": 400.0} if change == "steps" else {}, "cache": "c"}
    found = preprocess(load(raw, given), steps, log, base=raw)
    assert "written anew" in caplog.text
    expected = preprocess(load(raw, given), {"bandpass_filter": steps["bandpass_filter"]}, log)
    np.testing.assert_array_equal(found.get_traces(1), expected.get_traces(1))
    np.testing.assert_array_equal(found.get_channel_locations(), expected.get_channel_locations())


def test_a_cache_never_replaces_something_else(raw):
    with pytest.raises(FolderError, match="holds something else"):
        preprocess(load(raw), {"cache": "."}, log, base=raw)
    assert (raw / "a.dat").exists()


# ---- identity


def test_the_fingerprint_is_of_the_content(raw):
    hashes = {}
    first = fingerprint(load(raw), {}, hashes)
    assert len(hashes) == 1
    assert fingerprint(load(raw), {}, json.loads(json.dumps(hashes))) == first
    shutil.copytree(raw, raw / "copy")
    assert fingerprint(load(raw / "copy"), {}, {}) == first
    in_memory = si.NumpyRecording([load(raw).get_traces(i) for i in (0, 1)], RATE)
    in_memory.set_probegroup(load(raw).get_probegroup())
    for key in ("gain_to_uV", "offset_to_uV"):
        in_memory.set_property(key, load(raw).get_property(key))
    assert fingerprint(in_memory, {}, hashes) == first
    assert len(hashes) == 1


def test_unchanged_files_are_not_read_again(raw):
    recording, hashes = load(raw), {}
    fingerprint(recording, {}, hashes)
    hashes = dict.fromkeys(hashes, "remembered")
    assert fingerprint(recording, {}, hashes) == fingerprint(load(raw), {}, hashes) != fingerprint(recording, {}, {})
    os.utime(raw / "a.dat", ns=(0, 0))
    assert fingerprint(recording, {}, hashes) == fingerprint(recording, {}, {})


def test_the_fingerprint_tells_recordings_apart(raw):
    base = fingerprint(load(raw), {}, {})
    with (raw / "b.dat").open("r+b") as file:
        file.seek(77_777)
        file.write(b"\1")
    changed = fingerprint(load(raw), {}, {})
    found = [
        base,
        changed,
        fingerprint(load(raw, binary_params(gain_to_uV=0.6)), {}, {}),
        fingerprint(load(raw, binary_params(sampling_frequency=9999.0)), {}, {}),
        fingerprint(load(raw, binary_params(file_paths=["b.dat", "a.dat"])), {}, {}),
        fingerprint(load(raw), {"whiten": {}}, {}),
        fingerprint(load(raw), {"whiten": {"dtype": "float32"}}, {}),
        fingerprint(load(raw), {"whiten": {}, "center": {}}, {}),
        fingerprint(load(raw), {"center": {}, "whiten": {}}, {}),
        fingerprint(load(tetrode(raw / "probe.json", 4, [3, 2, 1, 0]).parent), {}, {}),
    ]
    assert len(set(found)) == len(found)
    assert fingerprint(load(raw), {"whiten": {}, "cache": "x"}, {}) == fingerprint(load(raw), {"whiten": {}}, {})


# ---- write_binary


def files_of(folder):
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_what_is_written_is_the_recording(raw):
    recording = preprocess(load(raw), {"scale": {"gain": 0.5, "dtype": "float32"}}, log)
    recording.set_property("inter_sample_shift", np.arange(4) / 4)
    recording.set_property("objects", np.array([None, 1, "a", {}], dtype=object))
    rec.write_binary(recording, raw / "out", {})
    for found in (rec.read_binary(raw / "out"), si.load(raw / "out")):
        assert found.dtype == np.float32
        assert found.sampling_frequency == RATE
        for segment in (0, 1):
            np.testing.assert_array_equal(found.get_traces(segment), recording.get_traces(segment))
        for key in ("gain_to_uV", "offset_to_uV", "inter_sample_shift", "group"):
            np.testing.assert_array_equal(found.get_property(key), recording.get_property(key))
        np.testing.assert_array_equal(found.get_channel_locations(), recording.get_channel_locations())
        np.testing.assert_array_equal(found.channel_ids, recording.channel_ids)
    assert str(raw).encode() not in b"".join(files_of(raw / "out").values())


def test_the_bytes_depend_on_nothing_but_the_recording(raw):
    recording = preprocess(load(raw), {"bandpass_filter": {}, "whiten": {"int_scale": 100}}, log)
    for name, jobs in {"one": {"n_jobs": 1}, "two": {"n_jobs": 2, "chunk_duration": "0.1s", "progress_bar": True}}.items():
        rec.write_binary(recording, raw / name, jobs)
    assert files_of(raw / "one") == files_of(raw / "two")


def test_a_full_disk_is_an_error_and_leaves_nothing(raw, monkeypatch):
    def no_space(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    recording = load(raw)
    monkeypatch.setattr(os, "pwrite", no_space)
    with pytest.raises(OSError, match="No space left"):
        rec.write_binary(recording, raw / "out", {})
    assert sorted(file.name for file in raw.iterdir()) == ["a.dat", "b.dat", "probe.json"]
