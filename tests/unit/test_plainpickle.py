import io
import pickle
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
from spikeinterface.core import NpzSortingExtractor, NumpySorting

from lussac import plainpickle
from lussac.errors import InputError

PLAIN = {
    "numbers": [1, 2.5, 3j, True, None],
    "texts": ("a", b"bytes", "ä"),
    "sets": {1, 2},
    "ordered": OrderedDict(a=1),
    "path": Path("/some/where"),
    "float": np.float32(1.5),
    "dtype": np.dtype([("a", "<i8")]),
    "slice": slice(1, 5),
}
ARRAYS = [np.arange(6.0).reshape(2, 3), np.arange(6).reshape(2, 3).T, np.array(["a", None], dtype=object), np.array(["x", "yz"])]


def read(data):
    return plainpickle.load(io.BytesIO(data), "file.pkl")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_data_comes_back(protocol):
    assert read(pickle.dumps(PLAIN, protocol)) == PLAIN


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("array", ARRAYS, ids=["C", "F", "objects", "texts"])
def test_arrays_come_back(protocol, array):
    read_back = read(pickle.dumps(array, protocol))
    np.testing.assert_array_equal(read_back, array)
    assert read_back.dtype == array.dtype


def test_names_of_modules_before_numpy_2_are_known():
    data = pickle.dumps(np.arange(3), 3)
    assert b"numpy._core" in data
    np.testing.assert_array_equal(read(data.replace(b"numpy._core", b"numpy.core")), [0, 1, 2])


def test_extractors_stay_descriptions(tmp_path):
    sorting = NumpySorting.from_unit_dict({0: np.array([1, 2])}, 30000.0)
    NpzSortingExtractor.write_sorting(sorting, tmp_path / "a.npz")
    selection = NpzSortingExtractor(tmp_path / "a.npz").select_units([0])
    description = read(pickle.dumps(selection))
    assert description["class"].endswith("UnitsSelectionSorting")
    assert description["kwargs"]["parent_sorting"]["kwargs"] == {"file_path": str(tmp_path / "a.npz")}


class Evil:
    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    ("function", "argument"), [(eval, "1"), (open, "x"), (getattr, "x"), (np.load, "x.npy"), (Path.unlink, Path("/x"))]
)
def test_anything_else_is_refused_by_name(function, argument, protocol):
    with pytest.raises(InputError, match=r"would run .*(eval|open|getattr|load|unlink)"):
        read(pickle.dumps({"data": [Evil(function, argument)]}, protocol))


def test_nothing_runs(tmp_path):
    (tmp_path / "victim").touch()
    with pytest.raises(InputError, match=r"os\.unlink|posix\.unlink"):
        read(b"cposix\nunlink\n(V" + str(tmp_path / "victim").encode() + b"\ntR.")
    assert (tmp_path / "victim").exists()


def test_other_codecs_are_not_run():
    with pytest.raises(InputError, match="damaged"):
        read(b"c_codecs\nencode\n(Vabc\nVrot13\ntR.")


@pytest.mark.parametrize("data", [b"", b"\x80", b"not a pickle", pickle.dumps(PLAIN)[:-20], b"\x80\x05\x8a\xff."])
def test_damaged_pickles_are_errors(data):
    with pytest.raises(InputError, match=r"file\.pkl is damaged"):
        read(data)
