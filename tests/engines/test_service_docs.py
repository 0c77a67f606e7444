"""The commands of the pages about the service image, typed as they stand there, by the people they are for."""

import fcntl
import os
import tempfile
from pathlib import Path

import pytest
from service import OWNER, SIF, SOCKET, TESTBED_USER, owners, run, write_data

from tests.pages import ROOT, fenced

pytestmark = pytest.mark.xdist_group("service")
SYSTEM_SOCKET = Path("/var/run/docker.sock")


@pytest.fixture
def system_socket():
    """Give docker's socket its usual name, which the pages use: one test at a time, whoever else tests on this machine."""
    with (Path(tempfile.gettempdir()) / "lussac-test-socket.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if SYSTEM_SOCKET.exists():
            yield
            return
        if os.geteuid() != 0:
            pytest.skip(f"docker's socket is {SOCKET}, and only root can name it {SYSTEM_SOCKET}")
        SYSTEM_SOCKET.unlink(missing_ok=True)  # a link to a daemon that has gone
        SYSTEM_SOCKET.symlink_to(SOCKET)
        yield
        SYSTEM_SOCKET.unlink()


def type_in(folder: Path, text: str, user: str | None = None) -> None:
    """Type a block of a page in a shell, in the folder of params.json."""
    run("bash", "-euc", text, user=user, cwd=folder)


@pytest.mark.docker
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to somebody else")
@pytest.mark.usefixtures("system_socket", "service_image")
@pytest.mark.parametrize("page", ["README.md", "docs/workstation.md", "docs/ci.md"])
def test_pages_about_docker(page, tmp_path):
    blocks = fenced(ROOT / page, "sh")
    assert any("lussac /data/params.json" in text for text in blocks)
    folder = write_data(tmp_path / "data", owner=OWNER)
    for text in blocks:
        type_in(folder, text)
    assert (folder / "lussac" / "logs" / "provenance.json").is_file()
    assert owners(folder) == {OWNER}


@pytest.mark.singularity
@pytest.mark.slow
@pytest.mark.usefixtures("service_sif")
def test_page_about_clusters(user_folder):
    blocks = fenced(ROOT / "docs/cluster.md", "sh")
    assert len(blocks) == 4
    place, owner = user_folder
    folder = write_data(place / "data", owner=owner)
    (folder / "lussac.sif").symlink_to(SIF)
    for text in blocks:
        type_in(folder, text, TESTBED_USER if os.geteuid() == 0 else None)
    assert (folder / "lussac" / "logs" / "provenance.json").is_file()
    assert owners(folder) - {(0, 0)} == {owner}  # the link to the image is root's here
