"""Paths of this process on the daemon's machine; finding this container among others is tested with a real daemon."""

from pathlib import Path

import pytest

from lussac.engines.base import Mount
from lussac.engines.hostpaths import Here, Place, bind, command_of, mounted, own_ids, parse_map, unmapped
from lussac.errors import EngineError

HERE = Here((Place("/data", "/mnt/lab"), Place("/data/raw", "/mnt/disk2/raw"), Place("/store", "volume1", is_volume=True)))


def source(path: str, **options) -> str:
    return bind(HERE, Mount(Path(path), "/lussac/out"), **options)["Source"]


@pytest.mark.parametrize(
    ("here", "there"),
    [
        ("/data", "/mnt/lab"),
        ("/data/a b,c/out", "/mnt/lab/a b,c/out"),
        ("/data/raw/rec", "/mnt/disk2/raw/rec"),
        ("/data/raw2", "/mnt/lab/raw2"),
        ("/data/x/../raw", "/mnt/disk2/raw"),
    ],
)
def test_the_longest_mount_decides(here, there):
    assert source(here) == there


def test_a_folder_of_no_mount_is_refused_with_the_command_to_use():
    with pytest.raises(EngineError, match=r"docker run --rm -v /your/folder:/home .*LUSSAC_HOST_PATH_MAP=/home="):
        source("/home/someone")
    assert "-v /your/folder:/data " in unmapped(Path("/data/x/y"))


def test_the_command_is_that_of_this_container_and_the_missing_folder():
    container = {
        "Mounts": [
            {"Type": "bind", "Source": "/mnt/my lab", "Destination": "/data", "RW": False},
            {"Type": "bind", "Source": "/run/docker.sock", "Destination": "/var/run/docker.sock", "RW": True},
            {"Type": "volume", "Name": "v1", "Source": "/var/lib/x", "Destination": "/v", "RW": True},
        ],
        "Config": {"Image": "lussac:2", "Entrypoint": ["lussac"], "Cmd": ["/data/params.json"]},
    }
    told = unmapped(Path("/results/today"), command_of(container))
    line = (
        "docker run --rm -v /your/folder:/results -v '/mnt/my lab:/data:ro' -v /run/docker.sock:/var/run/docker.sock "
        "-v v1:/v --entrypoint lussac lussac:2 /data/params.json"
    )
    assert f"`{line}`" in told


def test_outside_a_container_paths_stay(tmp_path):
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    made = bind(None, Mount(link, "/lussac/in"))
    assert made["Source"] == str(tmp_path.resolve())
    assert made["ReadOnly"] is True


def test_a_volume_is_mounted_whole_or_by_its_folder():
    whole = bind(HERE, Mount(Path("/store"), "/lussac/out", read_only=False))
    assert (whole["Type"], whole["Source"], whole["ReadOnly"]) == ("volume", "volume1", False)
    assert bind(HERE, Mount(Path("/store/a"), "/x"), subpaths=True)["VolumeOptions"] == {"Subpath": "a"}
    with pytest.raises(EngineError, match="can't mount a folder of a volume"):
        source("/store/a")


def test_reads_the_map_of_the_user():
    assert parse_map("/data=/mnt/lab;/x/=/y/z/") == (Place("/data", "/mnt/lab"), Place("/x", "/y/z"))
    with pytest.raises(EngineError, match="write /path/here=/path/on/the/host"):
        parse_map("data")


def test_reads_the_mounts_of_a_container():
    found = mounted(
        [
            {"Type": "bind", "Destination": "/data/", "Source": "/mnt/lab"},
            {"Type": "volume", "Destination": "/v", "Name": "v1", "Source": "/var/lib/docker/volumes/v1/_data"},
            {"Type": "tmpfs", "Destination": "/t", "Source": ""},
        ]
    )
    assert list(found) == [Place("/data", "/mnt/lab"), Place("/v", "v1", is_volume=True)]


def test_ids_are_ids():
    assert all(len(name) == 64 for name in own_ids())
