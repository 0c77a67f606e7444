"""What is said to whoever runs Lussac from its image; the same messages are seen in real containers in tests/engines."""

import os
from pathlib import Path

from lussac import inside
from lussac.inside import Kind, Surroundings

ELSEWHERE = Surroundings(Kind.ELSEWHERE)


def docker(*mounts: Path) -> Surroundings:
    return Surroundings(Kind.DOCKER, mounts)


def test_mount_points_are_read_with_their_spaces_and_without_the_root():
    text = (
        "1 0 0:50 / / rw - overlay overlay rw\n"
        "2 1 8:1 /lab /data\\040of\\040mine rw - ext4 /dev/sda1 rw\n"
        "3 1 0:5 / /proc rw - proc proc rw\n"
    )
    assert inside.mount_points(text) == (Path("/data of mine"), Path("/proc"))


def test_the_nearest_mount_holds_a_path():
    seen = docker(Path("/data"), Path("/data/raw"))
    assert seen.mount_of(Path("/data/raw/x")) == Path("/data/raw")
    assert seen.mount_of(Path("/database")) is None


def test_what_the_engine_mounts_is_no_folder_of_the_user(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "is_dir", lambda _path: True)
    seen = docker(*map(Path, ("/proc", "/dev", "/etc/hosts", "/var/run/docker.sock", "/var/lib", "/data", "/processed")))
    assert seen.folders == (Path("/data"), Path("/processed"))


def test_outside_the_image_the_advice_is_the_usual(tmp_path):
    assert inside.missing_params(tmp_path / "no.json", ELSEWHERE).startswith("Give the path of a params.json;")
    assert inside.unwritable(tmp_path, ELSEWHERE) == "choose another folder"
    assert "start docker or set DOCKER_HOST" in inside.no_daemon("unix:///no.sock", OSError(), "gone", ELSEWHERE)


def test_params_that_are_mounted_elsewhere_are_found(tmp_path, monkeypatch):
    data = tmp_path / "data"
    (data / "day1").mkdir(parents=True)
    (data / "day1" / "params.json").touch()
    monkeypatch.setattr(Surroundings, "folders", (data,))  # tmp_path lies where engines mount what is theirs
    assert f"it is {data}/day1/params.json:" in inside.missing_params(Path("/home/me/day1/params.json"), docker(data))
    assert f"sees only {data} of your machine" in inside.missing_params(Path("/home/me/other.json"), docker(data))


def test_nothing_mounted_and_an_empty_mount(tmp_path):
    assert f"sees nothing of your machine. In the folder of params.json, type: {inside.DOCKER}" in inside.missing_params(
        Path("/data/params.json"), docker()
    )
    assert f"{tmp_path} is empty." in inside.missing_params(tmp_path / "params.json", docker(tmp_path))
    assert inside.APPTAINER in inside.missing_params(Path("/data/params.json"), Surroundings(Kind.APPTAINER))


def test_a_folder_of_the_container_and_one_of_somebody_else(tmp_path):
    assert "part of this container" in inside.unwritable(tmp_path / "new", docker())
    assert f"docker run --user {os.getuid()}:" in inside.unwritable(tmp_path / "new", docker(tmp_path))


def test_a_socket_that_is_not_there_or_not_for_this_user(tmp_path):
    where = f"unix://{tmp_path}/docker.sock"
    assert f"add {inside.SOCKET} to docker run" in inside.no_daemon(where, FileNotFoundError(), "none", docker())
    socket = tmp_path / "docker.sock"
    socket.touch()
    own = f"add --user {os.getuid()} to" if os.getuid() else "is for root alone; on your machine, let its group use it: chmod 660"
    for mode, words in ((0o660, f"add --group-add {socket.stat().st_gid} to"), (0o600, own)):
        socket.chmod(mode)
        assert words in inside.no_daemon(where, PermissionError(), "refused", docker())
    assert "start docker on your machine" in inside.no_daemon(where, ConnectionRefusedError(), "refused", docker())
    assert "ask user" in inside.no_daemon(where, PermissionError(), "refused", ELSEWHERE)
    socket.chmod(0o660)
    assert "usermod -aG docker" in inside.no_daemon(where, PermissionError(), "refused", ELSEWHERE)
