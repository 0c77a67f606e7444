"""A logs folder against its record."""

import pytest
from tiny import lussac, write_params


@pytest.fixture(scope="module")
def folder(case, tmp_path_factory):
    folder = tmp_path_factory.mktemp("verify")
    pipeline = {
        "remove_bad_units": {"all": {"firing_rate": {"min": 1.0}}},
        "merge_sortings": {"all": {}},
        "export_to_phy": {"all": {"path": "$PARAMS_FOLDER/phy"}},
    }
    assert lussac(write_params(folder, case.params(pipeline)))[0] == 0
    return folder


def test_all_is_as_recorded_and_again_the_same(folder):
    code, out, err = lussac("verify", folder / "logs", "--rerun")
    assert (code, err) == (0, "")
    assert "all is as recorded" in out
    assert not (folder / "tmp").exists()


@pytest.mark.parametrize("place", ["phy/params.py", "logs/steps/02-*/sortings/merged_sorting/spikes.npy"])
def test_a_changed_file_is_named(folder, place):
    (file,) = folder.glob(place)
    before = file.read_bytes()
    file.write_bytes(before[:-1] + b"?")
    code, _, err = lussac("verify", folder / "logs")
    assert (code, f"{file}: changed" in err) == (5, True)
    file.unlink()
    assert f"{file}: missing" in lussac("verify", folder / "logs")[2]
    file.write_bytes(before)
    assert lussac("verify", folder / "logs")[0] == 0


def test_a_folder_that_is_none(tmp_path):
    code, _, err = lussac("verify", tmp_path)
    assert (code, "is no logs folder" in err) == (2, True)


def test_changed_params(folder):
    file = folder / "params.json"
    before = file.read_text()
    file.write_text(before + "\n")
    code, _, err = lussac("verify", folder / "logs", "--rerun")
    file.write_text(before)
    assert (code, "no longer what was run" in err) == (2, True)
