import os
from pathlib import Path

import pytest

from lussac.places import Place, Role, conflicts, is_free, obstacle


def place(path: str, role: Role) -> Place:
    return Place((path,), Path("/data") / path, role)


@pytest.mark.parametrize(
    ("outer", "inner"),
    [
        (Role.LOGS, Role.INPUT),
        (Role.LOGS, Role.SCRATCH),
        (Role.SCRATCH, Role.LOGS),
        (Role.SCRATCH, Role.EXPORT),
        (Role.SCRATCH, Role.RESULT),
        (Role.EXPORT, Role.INPUT),
        (Role.EXPORT, Role.EXPORT),
        (Role.RESULT, Role.RESULT),
    ],
)
def test_what_never_lies_inside(outer: Role, inner: Role) -> None:
    first, second = place("a", outer), place("a/b", inner)
    assert list(conflicts([first, second])) == [(first, second)]
    assert list(conflicts([second, first])) == [(first, second)]


@pytest.mark.parametrize(
    ("outer", "inner"),
    [
        (Role.INPUT, Role.LOGS),
        (Role.INPUT, Role.EXPORT),
        (Role.INPUT, Role.INPUT),
        (Role.LOGS, Role.EXPORT),
        (Role.LOGS, Role.RESULT),
    ],
)
def test_what_may_lie_inside(outer: Role, inner: Role) -> None:
    assert not list(conflicts([place("a", outer), place("a/b", inner)]))


def test_names_that_only_begin_alike_are_apart() -> None:
    assert not list(conflicts([place("a", Role.SCRATCH), place("ab", Role.LOGS)]))


def test_one_folder_for_two_is_told_once() -> None:
    one, other = place("a", Role.EXPORT), Place(("b",), Path("/data/c/../a"), Role.EXPORT)
    assert list(conflicts([one, other])) == [(one, other)]


def test_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    one = Place(("a",), tmp_path / "link", Role.SCRATCH)
    other = Place(("b",), tmp_path / "real/logs", Role.LOGS)
    assert list(conflicts([one, other])) == [(one, other)]


def test_a_folder_is_free_that_is_missing_empty_or_ours(tmp_path: Path) -> None:
    folder = tmp_path / "export"
    assert is_free(folder, "MARK")
    folder.mkdir()
    assert is_free(folder, "MARK")
    (folder / "file").write_text("")
    assert not is_free(folder, "MARK")
    assert not is_free(folder / "file", "MARK")
    (folder / "MARK").write_text("")
    assert is_free(folder, "MARK")


def test_a_file_is_in_the_way_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for role in set(Role) - {Role.INPUT}:
        assert obstacle(Place((), tmp_path / "file/a/b", role)) == tmp_path / "file"
        assert obstacle(Place((), tmp_path / "a/b", role)) is None
        assert obstacle(Place((), tmp_path, role)) is None
    assert obstacle(Place((), tmp_path / "file", Role.INPUT)) is None


def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    done = tmp_path / "done"
    done.mkdir(mode=0o500)
    if os.access(done, os.W_OK):
        pytest.skip("this user may write everywhere")
    assert obstacle(Place((), done / "a/b", Role.EXPORT)) == done
    assert obstacle(Place((), done, Role.LOGS)) == done
    assert obstacle(Place((), done, Role.RESULT)) is None
