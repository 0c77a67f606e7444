import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import spikeinterface.core as si
import zarr
from spikeinterface.core.npzfolder import NpzFolderSorting
from spikeinterface.generation import generate_ground_truth_recording

from lussac import sortings
from lussac.analyses import load_analysis, recognise
from lussac.errors import InputError

RATE = 30000.0
pytestmark = pytest.mark.filterwarnings("ignore:The (extractor|Recording|recording) is not", "ignore:.*not serializable")


@pytest.fixture
def sorting():
    """Three units in two segments, one of them without spikes in the second."""
    rng = np.random.default_rng(1)
    trains = [
        {unit: np.sort(rng.integers(0, 30000, 50)) for unit in (2, 5, 9)},
        {2: np.array([10, 20]), 5: np.array([15]), 9: np.array([], dtype=np.int64)},
    ]
    made = si.NumpySorting.from_unit_dict(trains, RATE)
    made.set_property("gt_depth", np.array([1.0, np.nan, 3.0]))
    made.set_property("lussac_category", np.array(["CS", "", "SS"]))
    return made


@pytest.fixture(scope="module")
def analyzer():
    recording, truth = generate_ground_truth_recording(durations=[1.0], num_channels=4, num_units=3, seed=0)
    truth.set_property("gt_name", np.array(["a", "b", "c"]))
    return si.create_sorting_analyzer(truth, recording, sparse=False)


def plain(sorting):
    return si.NumpySorting.from_sorting(sorting, with_metadata=True)


def assert_equal(found, expected, *, names=("gt_depth", "lussac_category")):
    assert sortings.unit_ids(found) == sortings.unit_ids(expected)
    assert found.sampling_frequency == expected.sampling_frequency
    for segment in range(expected.get_num_segments()):
        for unit in expected.unit_ids:
            np.testing.assert_array_equal(found.get_unit_spike_train(unit, segment), expected.get_unit_spike_train(unit, segment))
    for name in names:
        np.testing.assert_array_equal(found.get_property(name), expected.get_property(name))


@pytest.mark.parametrize("file_format", ["numpy_folder", "zarr"])
def test_folder_of_spikeinterface(tmp_path, sorting, file_format):
    folder = tmp_path / ("any.zarr" if file_format == "zarr" else "any")
    sorting.save(folder=folder, format=file_format)
    shutil.move(folder, tmp_path / "elsewhere")
    assert_equal(load_analysis(tmp_path / "elsewhere"), sorting)


@pytest.mark.parametrize("file_format", ["numpy_folder", "zarr"])
@pytest.mark.parametrize("relative", [True, False])
@pytest.mark.parametrize("suffix", [".json", ".pkl"])
def test_description_of_a_saved_sorting(tmp_path, sorting, file_format, relative, suffix):
    saved = sorting.save(folder=tmp_path / "data" / "saved.zarr", format=file_format)
    file = tmp_path / f"description{suffix}"
    saved.dump(file, relative_to=tmp_path if relative else None)
    assert_equal(load_analysis(file.rename(tmp_path / "unnamed")), sorting)


def test_description_of_a_description(tmp_path, sorting):
    saved = sorting.save(folder=tmp_path / "saved", format="numpy_folder")
    chosen = saved.select_units([9, 2]).time_slice(0.1, 0.9) if saved.get_num_segments() == 1 else saved.select_units([9, 2])
    chosen.dump(tmp_path / "chosen.json", relative_to=tmp_path)
    chosen.dump(tmp_path / "chosen.pkl")
    assert_equal(load_analysis(tmp_path / "chosen.json"), chosen)
    assert_equal(load_analysis(tmp_path / "chosen.pkl"), chosen)


def test_npz_alone_and_described(tmp_path, sorting):
    si.NpzSortingExtractor.write_sorting(sorting, tmp_path / "a.npz")
    assert_equal(load_analysis(tmp_path / "a.npz"), sorting, names=())
    described = {"class": "spikeinterface.core.npzsortingextractor.NpzSortingExtractor", "kwargs": {"file_path": "a.npz"}}
    (tmp_path / "b").write_text("\n  " + json.dumps(described))
    assert_equal(load_analysis(tmp_path / "b"), sorting, names=())


def test_npz_folder_of_older_versions(tmp_path, sorting):
    with pytest.warns(FutureWarning, match="deprecated"):
        NpzFolderSorting.write_sorting(sorting, tmp_path / "old")
    assert_equal(load_analysis(tmp_path / "old"), sorting)


@pytest.mark.parametrize("file_format", ["binary_folder", "zarr"])
def test_analyzer(tmp_path, analyzer, file_format):
    analyzer.save_as(folder=tmp_path / "a.zarr", format=file_format)
    found = load_analysis(next(tmp_path.iterdir()))
    assert_equal(found, analyzer.sorting, names=("gt_name",))


def test_lussac_folders(tmp_path, sorting):
    sortings.save(sorting, tmp_path / "plain")
    assert_equal(load_analysis(tmp_path / "plain"), sorting)
    sortings.save(sorting, tmp_path / "sorter" / "sorting")
    (tmp_path / "sorter" / "lussac-sorter.json").write_text("{}")
    assert_equal(load_analysis(tmp_path / "sorter"), sorting)


def write_phy(folder, clusters, tables, params="dat_path = r'C:\\users\\x.dat'\nsample_rate = 30000.0  # Hz\n"):
    folder.mkdir()
    np.save(folder / "spike_times.npy", np.arange(10, 10 + len(clusters), dtype=np.uint64)[:, None])
    np.save(folder / "spike_clusters.npy", np.array(clusters, dtype=np.int32))
    (folder / "params.py").write_text(params)
    for name, text in tables.items():
        (folder / name).write_text(text)
    return folder


def test_phy_keeps_clusters_that_a_table_forgets(tmp_path):
    tables = {
        "cluster_group.tsv": "cluster_id\tgroup\n3\tgood\n8\tnoise\n",
        "cluster_Amplitude.tsv": "cluster_id\tAmplitude\n3\t1.5\n5\t2\n",
        "cluster_n.csv": "cluster_id,n\n3,1\n5,2\n7,3\n",
        "notes.tsv": "something\telse\n1\t2\n",
        "cluster_lussac_category.tsv": "cluster_id\tlussac_category\n3\t1\n5\t2\n7\t3\n",
    }
    found = load_analysis(write_phy(tmp_path / "phy", [3, 5, 3, 7], tables))
    assert sortings.unit_ids(found) == [3, 5, 7]
    np.testing.assert_array_equal(found.get_unit_spike_train(3), [10, 12])
    np.testing.assert_array_equal(found.get_property("quality"), ["good", "", ""])
    np.testing.assert_array_equal(found.get_property("Amplitude"), [1.5, 2.0, np.nan])
    np.testing.assert_array_equal(found.get_property("n"), [1, 2, 3])
    np.testing.assert_array_equal(found.get_property("original_cluster_id"), [3, 5, 7])
    assert sortings.categories(found) == {3: "1", 5: "2", 7: "3"}


def test_phy_takes_the_unit_ids_that_were_exported(tmp_path):
    tables = {"cluster_si_unit_ids.tsv": "cluster_id\tsi_unit_id\n0\tä\n1\tb\n"}
    assert sortings.unit_ids(load_analysis(write_phy(tmp_path / "all", [0, 1], tables))) == ["ä", "b"]
    assert sortings.unit_ids(load_analysis(write_phy(tmp_path / "split", [0, 1, 2], tables))) == [0, 1, 2]


def test_params_py_is_not_run(tmp_path):
    code = f"sample_rate = 20000.\nimport pathlib\npathlib.Path({str(tmp_path / 'ran')!r}).touch()\n"
    assert load_analysis(write_phy(tmp_path / "phy", [0], {}, code)).sampling_frequency == 20000
    assert not (tmp_path / "ran").exists()
    described = {
        "class": "spikeinterface.extractors.phykilosortextractors.PhySortingExtractor",
        "kwargs": {"folder_path": "phy", "exclude_cluster_groups": "noise"},
    }
    (tmp_path / "a.json").write_text(json.dumps(described))
    assert load_analysis(tmp_path / "a.json").get_num_units() == 1
    assert not (tmp_path / "ran").exists()


def test_kilosort_keeps_only_good_units_where_asked(tmp_path):
    tables = {"cluster_KSLabel.tsv": "cluster_id\tKSLabel\n0\tgood\n1\tmua\n"}
    write_phy(tmp_path / "sorter_output", [0, 1], tables)
    (tmp_path / "spikeinterface_log.json").write_text(json.dumps({"sorter_name": "kilosort4", "error": False}))
    assert sortings.unit_ids(load_analysis(tmp_path)) == [0, 1]
    (tmp_path / "spikeinterface_params.json").write_text(json.dumps({"sorter_params": {"keep_good_only": True}}))
    assert sortings.unit_ids(load_analysis(tmp_path)) == [0]


def test_folder_of_a_sorter(tmp_path, sorting):
    log = tmp_path / "spikeinterface_log.json"
    log.write_text(json.dumps({"sorter_name": "spykingcircus2", "error": False}))
    sorting.save(folder=tmp_path / "sorter_output" / "sorting", format="numpy_folder")
    assert_equal(load_analysis(tmp_path), sorting)
    assert_equal(load_analysis(tmp_path / "sorter_output"), sorting)
    shutil.rmtree(tmp_path / "sorter_output" / "sorting")
    si.NpzSortingExtractor.write_sorting(sorting, tmp_path / "sorter_output" / "firings.npz")
    assert_equal(load_analysis(tmp_path), sorting, names=())
    assert_equal(load_analysis(tmp_path / "sorter_output"), sorting, names=())
    log.write_text(json.dumps({"sorter_name": "spykingcircus2", "error": True}))
    with pytest.raises(InputError, match="The sorter spykingcircus2 failed"):
        load_analysis(tmp_path)
    log.write_text(json.dumps({"sorter_name": "ironclust", "error": False}))
    shutil.rmtree(tmp_path / "sorter_output")
    with pytest.raises(InputError, match="can't be read"):
        load_analysis(tmp_path)


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_pickled_properties_are_not_run(tmp_path, sorting):
    sorting.save(folder=tmp_path / "good", format="numpy_folder")
    np.save(tmp_path / "good/properties/plain.npy", np.array(["a", None, 3], dtype=object), allow_pickle=True)
    assert load_analysis(tmp_path / "good").get_property("plain").tolist() == ["a", None, 3]
    np.save(tmp_path / "good/properties/evil.npy", np.array([Evil(tmp_path / "ran")] * 3, dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match=r"would run pathlib"):
        load_analysis(tmp_path / "good")
    assert not (tmp_path / "ran").exists()


def test_pickled_zarr_arrays_are_refused(tmp_path, sorting):
    folder = tmp_path / "a.zarr"
    sorting.save(folder=folder, format="zarr")
    array = folder / "properties" / "gt_depth" / ".zarray"
    header = json.loads(array.read_text())
    array.write_text(json.dumps(header | {"dtype": "|O", "filters": [{"id": "pickle", "protocol": 5}]}))
    with pytest.raises(InputError, match="is pickled"):
        load_analysis(folder)
    zarr.consolidate_metadata(folder)
    array.write_text(json.dumps(header))
    with pytest.raises(InputError, match="is pickled"):
        load_analysis(folder)


@pytest.mark.parametrize(
    "name",
    [
        "os.system",
        "subprocess.Popen",
        "spikeinterface.core.binaryrecordingextractor.BinaryRecordingExtractor",
        "spikeinterface.core.core_tools.read_python",
        "spikeinterface.extractors.klustaextractors.KlustaSortingExtractor",
        "spikeinterface.no.such.Class",
        "spikeinterface.core.NoSuchSorting",
    ],
)
def test_only_sortings_of_spikeinterface_are_built(tmp_path, name):
    (tmp_path / "a.json").write_text(json.dumps({"class": name, "kwargs": {"path": str(tmp_path)}}))
    with pytest.raises(InputError, match=name.rpartition(".")[2]):
        load_analysis(tmp_path / "a.json")


def test_malicious_pickle_is_refused(tmp_path):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"class": "x", "kwargs": {"a": Evil(tmp_path / "ran")}}))
    with pytest.raises(InputError, match=r"a\.pkl is refused: it would run pathlib"):
        load_analysis(tmp_path / "a.pkl")
    assert not (tmp_path / "ran").exists()


def test_what_is_no_sorting_is_an_error(tmp_path):
    with pytest.raises(InputError, match="There is no analysis at"):
        recognise(tmp_path / "missing")
    with pytest.raises(InputError, match="is no sorting that Lussac knows"):
        recognise(tmp_path)
    for name, content in {"a.json": "[1, 2]", "b.json": '{"a": 1}', "c.json": "{", "d.npz": "PK"}.items():
        (tmp_path / name).write_text(content)
        with pytest.raises(InputError, match=name):
            load_analysis(tmp_path / name)


@pytest.mark.parametrize("broken", ["spike_clusters.npy", "spike_times.npy", "params.py", "cluster_group.tsv"])
def test_damaged_phy_folders_are_errors(tmp_path, broken):
    folder = write_phy(tmp_path / "phy", [0, 1], {"cluster_group.tsv": "cluster_id\tgroup\n0\tgood\n"})
    (folder / broken).write_bytes(b"\xff\xfe\x00broken")
    with pytest.raises(InputError, match="phy"):
        load_analysis(folder)


def test_phy_arrays_of_different_lengths_are_an_error(tmp_path):
    folder = write_phy(tmp_path / "phy", [0, 1], {})
    np.save(folder / "spike_clusters.npy", np.zeros(5, dtype=np.int64))
    with pytest.raises(InputError, match="2 spike times, but 5 clusters"):
        load_analysis(folder)
