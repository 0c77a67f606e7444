import contextlib
import errno
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from lussac.errors import FolderError
from lussac.store import LOCK, MANIFEST, MARKER, Store, content_key, explained, scratch_folder, write_atomically

KEY = content_key({"kind": "test"})


def write_step(store, key=KEY, label="01-test.all", text="abc"):
    with store.draft(key, label) as folder:
        (folder / "sortings").mkdir()
        (folder / "sortings" / "a.txt").write_text(text)


def write_half(store):
    with store.draft(KEY, "01-test.all") as folder:
        (folder / "half").write_text("x")
        raise ZeroDivisionError


def test_key_ignores_order_and_sees_values():
    assert content_key({"a": 1, "b": {"c": 2, "d": 3}}) == content_key({"b": {"d": 3, "c": 2}, "a": 1})
    assert content_key({"a": 1}) != content_key({"a": 2})


def test_step_is_found_by_its_key_only(tmp_path):
    with Store(tmp_path / "logs") as store:
        assert store.find(KEY) is None
        write_step(store)
        found = store.find(KEY)
        assert found.folder.name == f"01-test.all.{KEY[:8]}"
        assert found.files == {"sortings/a.txt": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}
        assert found.damaged() == []
        assert store.find(KEY[:8] + "0" * 56) is None
        assert [step.key for step in store.committed()] == [KEY]


def test_a_draft_that_raised_is_kept_apart_and_never_found(tmp_path):
    with Store(tmp_path / "logs") as store:
        with pytest.raises(ZeroDivisionError):
            write_half(store)
        assert store.find(KEY) is None
        assert (store.failed / f"01-test.all.{KEY[:8]}" / "half").read_text() == "x"
        assert not list(store.steps.iterdir())


def test_an_interrupted_draft_leaves_nothing(tmp_path):
    with Store(tmp_path / "logs") as store:
        with pytest.raises(KeyboardInterrupt), store.draft(KEY, "01-test.all"):
            raise KeyboardInterrupt
        assert store.find(KEY) is None
        assert not store.failed.exists()


def test_drafts_of_a_killed_run_are_removed(tmp_path):
    with Store(tmp_path / "logs") as store:
        (store.root / "drafts" / "01-old").mkdir()
    with Store(tmp_path / "logs") as store:
        assert not list((store.root / "drafts").iterdir())


@pytest.mark.parametrize("harm", ["missing file", "short file", "no manifest", "broken manifest"])
def test_a_damaged_step_is_not_found_and_is_written_again(tmp_path, harm):
    with Store(tmp_path / "logs") as store:
        write_step(store)
        folder = store.find(KEY).folder
        {
            "missing file": (folder / "sortings/a.txt").unlink,
            "short file": lambda: (folder / "sortings/a.txt").write_text("ab"),
            "no manifest": (folder / MANIFEST).unlink,
            "broken manifest": lambda: (folder / MANIFEST).write_text("{"),
        }[harm]()
        assert store.find(KEY) is None
        write_step(store)
        assert store.find(KEY).damaged() == []


def test_changed_bytes_of_equal_length_are_told(tmp_path):
    with Store(tmp_path / "logs") as store:
        write_step(store)
        found = store.find(KEY)
        (found.folder / "sortings/a.txt").write_text("abd")
        assert store.find(KEY).damaged() == ["sortings/a.txt"]


def test_manifest_tells_what_the_key_was_made_from(tmp_path):
    with Store(tmp_path / "logs") as store:
        with store.draft(KEY, "01-test.all", {"kind": "test"}):
            pass
        manifest = json.loads((store.find(KEY).folder / MANIFEST).read_text())
        assert manifest["ingredients"] == {"kind": "test"}
        assert content_key(manifest["ingredients"]) == manifest["key"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_that_is_not_ours_is_refused_and_left_alone(tmp_path, overwrite):
    (tmp_path / "thesis.txt").write_text("x")
    with pytest.raises(FolderError, match="didn't make"), Store(tmp_path, overwrite=overwrite):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_file_as_logs_folder_is_refused(tmp_path):
    (tmp_path / "logs").write_text("x")
    with pytest.raises(FolderError, match="is a file"), Store(tmp_path / "logs"):
        pass


def test_overwrite_deletes_what_is_ours(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "data").write_text("x")
    with Store(tmp_path / "logs") as store:
        write_step(store)
        (store.root / "link").symlink_to(outside)
    with Store(tmp_path / "logs", overwrite=True) as store:
        assert store.find(KEY) is None
        assert sorted(path.name for path in store.root.iterdir()) == sorted([MARKER, LOCK, "drafts", "steps"])
    assert (outside / "data").read_text() == "x"


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_in_use_is_refused_with_host_and_pid(tmp_path, overwrite):
    with Store(tmp_path / "logs") as first:
        write_step(first)
        with (
            pytest.raises(FolderError, match=rf"process {os.getpid()} on host {socket.gethostname()}"),
            Store(tmp_path / "logs", overwrite=overwrite),
        ):
            pass
        assert first.find(KEY)
    with Store(tmp_path / "logs") as again:
        assert again.find(KEY)


def test_a_forked_worker_that_outlives_the_run_does_not_keep_the_lock(tmp_path):
    code = """
import os, sys, time
from pathlib import Path
from lussac.store import Store
Store(Path(sys.argv[1])).__enter__()
if os.fork() == 0:
    time.sleep(30)
print(os.getpid(), flush=True)
os.kill(os.getpid(), 9)
"""
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "logs")], stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        process.stdout.readline()
        process.wait(10)
        try:
            with Store(tmp_path / "logs"):
                pass
        finally:
            os.killpg(process.pid, 9)


def test_a_folder_that_cannot_be_made_is_explained(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(FolderError, match="can't be written"), Store(tmp_path / "file" / "logs"):
        pass


@pytest.mark.parametrize("make", [Store, lambda folder: scratch_folder(folder, folder)])
def test_a_place_where_nothing_can_be_made_is_explained(tmp_path, make):
    (tmp_path / "dangling").symlink_to(tmp_path / "gone")
    for place in (tmp_path / "dangling", Path("/proc/gone/logs")):
        with pytest.raises(FolderError, match="can't be written"), make(place):
            pass


def test_disk_full_is_explained_and_the_draft_is_removed(tmp_path):
    with Store(tmp_path / "logs") as store:
        with pytest.raises(FolderError, match="is full"), store.draft(KEY, "01-test.all"):
            raise OSError(errno.ENOSPC, "No space left on device")
        assert not list((store.root / "drafts").iterdir())
        assert not store.failed.exists()


def test_a_library_error_caused_by_a_full_disk_counts_as_disk_full(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(100, 100, 0))
    with pytest.raises(FolderError, match="is full"), explained(tmp_path / "not" / "there"):
        raise OSError("500 requested and 20 written")


def test_other_system_errors_stay_as_they_are(tmp_path):
    with pytest.raises(FileNotFoundError), explained(tmp_path):
        (tmp_path / "nothing").read_text()


def test_write_atomically_replaces(tmp_path):
    write_atomically(tmp_path / "a.json", "1")
    write_atomically(tmp_path / "a.json", "2")
    assert (tmp_path / "a.json").read_text() == "2"
    assert [path.name for path in Path(tmp_path).iterdir()] == ["a.json"]


@pytest.mark.parametrize("error", [None, RuntimeError, KeyboardInterrupt])
def test_scratch_folder_is_removed_however_the_run_ends(tmp_path, error):
    with contextlib.suppress(RuntimeError, KeyboardInterrupt), scratch_folder(tmp_path / "a" / "tmp", tmp_path / "logs") as own:
        (own / "traces").write_text("x")
        if error:
            raise error
    assert not (tmp_path / "a" / "tmp").exists()


def test_scratch_folder_that_was_there_stays_with_what_is_in_it(tmp_path):
    (tmp_path / "precious").write_text("x")
    with scratch_folder(tmp_path, tmp_path / "logs") as own:
        (own / "traces").write_text("x")
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


def test_scratch_of_a_killed_run_is_removed_by_the_next(tmp_path):
    tmp, logs = tmp_path / "tmp", tmp_path / "logs"
    with scratch_folder(tmp, logs) as own:
        shutil.copytree(tmp, tmp_path / "copy")
    shutil.copytree(tmp_path / "copy", tmp)
    (own / "left").write_text("x")
    with scratch_folder(tmp, logs) as again:
        assert own == again
        assert not list(own.iterdir())
    assert not tmp.exists()


def test_scratch_folder_shared_by_two_runs_goes_with_the_last(tmp_path):
    with scratch_folder(tmp_path / "tmp", tmp_path / "1") as first:
        with scratch_folder(tmp_path / "tmp", tmp_path / "2"):
            pass
        assert first.is_dir()
    assert not (tmp_path / "tmp").exists()
