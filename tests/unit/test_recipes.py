"""The recipes of images: pinned, hashed, without root, and labelled as the catalogue says."""

import re
from pathlib import Path

import pytest

from lussac.sorters.catalogue import catalogue

CONTAINERS = Path(__file__).parents[2] / "containers"
RECIPES = sorted(CONTAINERS.glob("*/Dockerfile"))
LOCKS = sorted(CONTAINERS.glob("*/requirements*.txt"))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.parent.name)
def test_an_image_takes_any_base_and_needs_no_root(recipe):
    text = recipe.read_text()
    assert re.search(r"^ARG BASE_IMAGE=\S+:\S+$", text, re.MULTILINE)
    assert set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) == {"${BASE_IMAGE}"}
    assert "latest" not in text
    last_stage = text[text.rindex("FROM ") :]
    assert re.findall(r"^USER .*", last_stage, re.MULTILINE)[-1:] != ["USER 0"]
    assert "pip" not in text or "--require-hashes" in text


@pytest.mark.parametrize("recipe", [path for path in RECIPES if path.parent.name != "base"], ids=lambda path: path.parent.name)
def test_its_labels_are_those_of_the_catalogue(recipe):
    sorter = recipe.parent.name
    text = recipe.read_text()
    assert f'io.lussac.sorter="{sorter}"' in text
    tag = catalogue()[sorter].image.rpartition(":")[2]
    assert f'org.opencontainers.image.version="{tag}"' in text


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_requirement_has_its_version_and_hashes(lock):
    entries = lock.read_text().replace("\\\n", " ").splitlines()
    assert entries
    for entry in entries:
        assert re.match(r"[\w.-]+==\S+( ; .*?)?( +--hash=sha256:[0-9a-f]{64})+ *$", entry), entry
        assert "://" not in entry


def test_what_the_base_has_is_not_installed_again():
    def names(lock: Path) -> set[str]:
        return set(re.findall(r"^([\w.-]+)==", lock.read_text(), re.MULTILINE))

    base = names(CONTAINERS / "base" / "requirements.txt")
    for lock in LOCKS:
        if lock.parent.name != "base":
            assert not names(lock) & base, lock


def test_the_service_image_is_pinned_and_gives_up_root():
    text = (CONTAINERS.parent / "Dockerfile").read_text()
    assert re.search(r"^ARG BASE_IMAGE=\S+@sha256:[0-9a-f]{64}$", text, re.MULTILINE)
    assert set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) == {"${BASE_IMAGE}"}
    for line in re.findall(r".*requirements/(?:build|image)\.txt$", text, re.MULTILINE):
        assert line.startswith("COPY") or "--require-hashes" in line
    assert 'ENTRYPOINT ["lussac"]' in text
    assert "--bounding-set=-all --no-new-privs" in (CONTAINERS / "service" / "lussac.sh").read_text()


def test_a_sif_is_made_of_the_docker_image():
    text = (CONTAINERS.parent / "Singularity.def").read_text()
    assert {"%runscript", "%test", "%labels", "%help"} <= set(text.split())
    assert "pip" not in text
