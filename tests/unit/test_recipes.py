"""The recipes of images: pinned, hashed, without root, and labelled as the catalogue says."""

import io
import re
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from lussac.engines.base import ImageRef
from lussac.errors import EngineError, UsageError
from lussac.sorters import recipes
from lussac.sorters.catalogue import catalogue

ROOT = Path(__file__).parents[2]
CONTAINERS = ROOT / "containers"
LOCKS = sorted([*CONTAINERS.glob("*/requirements*.txt"), CONTAINERS / "published" / "pip.txt"])
DIGEST = "sha256:" + "a" * 64
LOCAL = ImageRef(asked="my/python:3.11", start="sha256:1d", digest="", rootfs="sha256:f5", source="local-build", details={})
PULLED = replace(LOCAL, asked=f"lab/ks2@{DIGEST}", digest=DIGEST, source="registry")
PUBLISHED = [name for name in recipes.with_recipe() if recipes.read(name).published]
PYTHON = [recipes.BASE, *(name for name in recipes.with_recipe() if name not in PUBLISHED)]


@pytest.mark.parametrize("file", ["python.Dockerfile", "published.Dockerfile"])
def test_a_recipe_takes_any_base_and_needs_no_root(file):
    text = (CONTAINERS / file).read_text()
    assert re.search(r"^ARG BASE_IMAGE", text, re.MULTILINE)
    assert set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) == {"${BASE_IMAGE}"}
    assert "latest" not in text
    assert re.findall(r"^USER .*", text, re.MULTILINE)[-1] == "USER 10001:10001"
    assert text.count("pip install") + text.count("bin/python install") == text.count("--require-hashes")


def test_the_python_image_is_pinned_as_that_of_the_service():
    pinned = recipes.python_image()
    assert re.fullmatch(r"\S+@sha256:[0-9a-f]{64}", pinned)
    assert f"ARG BASE_IMAGE={pinned}\n" in (ROOT / "Dockerfile").read_text()
    assert recipes.base_of(recipes.BASE, recipes.Sources()) == pinned
    assert recipes.base_of("simple", recipes.Sources(base="my/python:3.11")) == recipes.tag(recipes.BASE)


def test_every_sorter_that_is_published_or_packaged_has_its_folder():
    published = {"kilosort", "kilosort2", "kilosort2_5", "kilosort3", "ironclust", "hdsort", "waveclus", "waveclus_snippets"}
    assert set(PUBLISHED) == published | {"combinato", "pykilosort", "yass"}
    assert set(catalogue()) - set(PUBLISHED) - set(PYTHON) == {"rtsort"}


@pytest.mark.parametrize("name", [*PYTHON, *PUBLISHED])
def test_its_labels_say_what_it_is_and_what_it_was_made_of(name):
    labels = recipes.plan(name, PULLED, recipes.Sources(base=PULLED.asked)).labels
    prefix = "org.opencontainers.image"
    assert f"{labels[f'{prefix}.title']}:{labels[f'{prefix}.version']}" == recipes.tag(name)
    assert labels[f"{prefix}.licenses"] == (catalogue()[name].licence if name != recipes.BASE else "MIT")
    assert labels[f"{prefix}.base.name"] == PULLED.asked
    assert labels[f"{prefix}.base.digest"] == DIGEST
    assert re.fullmatch(r"[0-9a-f]{40}", labels[f"{prefix}.revision"])
    assert labels.get("io.lussac.sorter", recipes.BASE) == name
    assert not any("://" in value for value in labels.values())


def test_a_base_without_a_digest_is_named_by_its_layers():
    labels = recipes.labels("simple", LOCAL)
    assert "org.opencontainers.image.base.digest" not in labels
    assert labels["io.lussac.base.rootfs"] == LOCAL.rootfs


@pytest.mark.parametrize("name", PYTHON)
def test_an_image_of_packages_is_built_from_files_of_its_folder(name):
    build = recipes.plan(name, LOCAL, recipes.Sources())
    assert set(build.files) == {"Dockerfile", "slim.py", "requirements.txt"}
    assert build.files["requirements.txt"] == CONTAINERS / name / "requirements.txt"
    assert build.arguments["BASE_IMAGE"] == LOCAL.start


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_image_is_asked_for_by_its_digest(name):
    recipe = recipes.read(name)
    with pytest.raises(UsageError, match=rf"BASE_IMAGE={recipe.published}@sha256:\.\.\. lussac images build {name}"):
        recipes.base_of(name, recipes.Sources())
    assert recipes.lacks(name, recipes.Sources()) == f"BASE_IMAGE={recipe.published}@sha256:..."
    moving = replace(PULLED, asked="lab/ks2:latest")
    with pytest.raises(UsageError, match=f"may move. Its digest today: BASE_IMAGE=lab/ks2@{DIGEST}"):
        recipes.plan(name, moving, recipes.Sources(base=moving.asked))
    files = set(recipes.plan(name, PULLED, recipes.Sources(base=PULLED.asked)).files)
    assert {"pip.txt", "requirements-3.8.txt", "requirements-3.9.txt"} <= files


def test_what_the_user_must_say_is_said():
    assert "TORCH_INDEX" in recipes.lacks("lupin", recipes.Sources())
    assert recipes.lacks("lupin", recipes.Sources(torch_index="x")) == ""
    assert recipes.lacks("kilosort4", recipes.Sources()) == ""
    assert "WHEELS" in recipes.lacks("kilosort4", recipes.Sources(requirements="requirements-cpu.txt"))
    with pytest.raises(EngineError, match=r"kilosort4 has no other.txt; it has requirements-cpu.txt, requirements.txt"):
        recipes.plan("kilosort4", LOCAL, recipes.Sources(requirements="other.txt"))


@pytest.mark.parametrize(("name", "message"), [("rtsort", "rtsort has no image: "), ("simpel", "There is no sorter 'simpel'")])
def test_a_sorter_without_a_recipe_says_why(name, message):
    with pytest.raises(UsageError, match=message):
        recipes.read(name)


def test_a_context_depends_on_its_files_alone(tmp_path):
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / "a.whl").write_bytes(b"wheel")
    build = recipes.plan("spykingcircus", LOCAL, recipes.Sources(wheels=tmp_path / "wheels"))
    contexts = [io.BytesIO(), io.BytesIO()]
    for context in contexts:
        recipes.write_context(build.files, context)
    assert contexts[0].getvalue() == contexts[1].getvalue()
    with tarfile.open(fileobj=io.BytesIO(contexts[0].getvalue())) as tar:
        assert tar.getnames() == ["Dockerfile", "requirements.txt", "slim.py", "wheels/a.whl"]
        recipe = tar.extractfile("Dockerfile")
        assert recipe is not None
        assert recipe.read().decode().endswith('ENV QT_QPA_PLATFORM="offscreen"\n')


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_requirement_has_its_version_and_hashes(lock):
    entries = lock.read_text().replace("\\\n", " ").splitlines()
    assert entries or lock.with_suffix(".in").read_text().startswith("#")
    for entry in entries:
        assert re.match(r"[\w.-]+==\S+( ; .*?)?( +--hash=sha256:[0-9a-f]{64})+ *$", entry), entry
        assert "://" not in entry


def test_what_the_base_has_is_not_installed_again():
    def names(lock: Path) -> set[str]:
        return set(re.findall(r"^([\w.-]+)==", lock.read_text(), re.MULTILINE))

    base = names(CONTAINERS / "base" / "requirements.txt")
    for name in PYTHON:
        if name != recipes.BASE and not recipes.read(name).alone:
            for lock in (CONTAINERS / name).glob("requirements*.txt"):
                assert not names(lock) & base, lock


def test_an_installed_package_has_the_recipes(tmp_path):
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        packed = set(wheel.namelist())
    ours = subprocess.run(["git", "ls-files", "containers"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert {f"lussac/{file}" for file in ours.split()} <= packed


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
