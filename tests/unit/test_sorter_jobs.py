"""What is checked and filled in before a sorter runs; no sorter is run."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from spikeinterface.sorters import available_sorters

from lussac import sorters
from lussac.engines import choose
from lussac.engines.base import Exit, ImageRef, Outcome
from lussac.errors import EngineError, UsageError
from lussac.params import SorterParams
from lussac.sorters import images, recipes
from lussac.sorters.catalogue import catalogue
from lussac.sorters.job import derived_seed, plain
from lussac.sorters.run import judged

REF = ImageRef(asked="x", start="x", digest="", rootfs="sha256:1", source="local-build", details={"platform": "linux/amd64"})


class Engine:
    """An engine that answers as it is told."""

    def __init__(self, name: str, *, reason: str | None = None, missing: str = "", gpu: bool = False) -> None:
        self.name, self.reason, self.missing, self.gpu = name, reason, missing, gpu

    def unavailable(self) -> str | None:
        return self.reason

    def describe(self) -> Mapping[str, str]:
        return {"name": self.name}

    def resolve(self, image: str, *, pull: bool) -> ImageRef:
        if self.missing:
            raise EngineError(f"{self.missing} (pull {pull})")
        return REF

    def has_image(self, image: str) -> bool:
        return not self.missing

    def has_gpu(self, image: ImageRef) -> bool:
        return self.gpu


def found(sorter: str, **own) -> dict[str, str]:
    return {
        ".".join(path): message for path, message in sorters.problems("run", SorterParams(sorter_name=sorter, sorter_params=own))
    }


def test_the_catalogue_knows_every_sorter():
    assert set(available_sorters()) == set(catalogue())
    for row in catalogue().values():
        assert bool(row.image) != bool(row.why_not)


def test_every_image_has_its_recipe():
    assert recipes.with_recipe() == [sorter for sorter, row in catalogue().items() if row.image]


def test_good_parameters_are_no_problem():
    assert found("simple", detect_threshold=6, output_folder="x", docker_image=True) == {}
    assert found("kilosort3", delete_recording_dat=True, projection_threshold=[8, 8], singularity_image=True) == {}


def test_a_wrong_name_gets_the_nearest():
    assert "did you mean 'simple'" in found("simpel")["sorter_name"]
    assert "did you mean 'detect_threshold'" in found("simple", detect_treshold=5)["sorter_params.detect_treshold"]
    assert "did you mean 'output_folder'" in found("simple", output_foldr="x")["sorter_params.output_foldr"]


def test_values_of_the_run_are_checked():
    assert "must be bool or str" in found("simple", docker_image=3)["sorter_params.docker_image"]
    assert "keep one" in found("simple", docker_image=True, singularity_image=True)["sorter_params.singularity_image"]
    assert "keep one" in found("simple", folder="a", output_folder="b")["sorter_params.folder"]


def test_a_sorter_whose_parameters_only_its_package_knows_is_let_through():
    assert found("dartsort", anything=1) == {}


def test_the_first_engine_that_can_is_chosen():
    engines = {"docker": Engine("docker", reason="no daemon answers"), "local": Engine("local")}
    choice = choose("auto", {"docker": "a", "local": "b"}, "none", pull=False, engines=engines)
    assert choice.engine.name == "local"
    assert choice.why == "runs with local; docker: no daemon answers"


def test_an_engine_that_is_asked_for_is_not_replaced():
    engines = {"docker": Engine("docker", missing="x is not in docker's store"), "local": Engine("local")}
    with pytest.raises(EngineError, match="not in docker's store"):
        choose("docker", {"docker": "a", "local": "b"}, "none", pull=False, engines=engines)
    with pytest.raises(UsageError, match="There is no engine 'dokcer'"):
        choose("dokcer", {}, "none", pull=False, engines=engines)


def test_a_gpu_that_is_required_must_be_there():
    engines = {"docker": Engine("docker"), "singularity": Engine("singularity", gpu=True)}
    both = {"docker": "a", "singularity": "b"}
    assert choose("auto", both, "required", pull=False, engines=engines).engine.name == "singularity"
    with pytest.raises(EngineError, match="needs an NVIDIA GPU"):
        choose("docker", both, "required", pull=False, engines=engines)
    choice = choose("docker", both, "optional", pull=False, engines=engines)
    assert not choice.gpu
    assert "on the CPU" in choice.why


def test_nothing_can_run_it_names_the_ways_out(tmp_path):
    run = SorterParams(sorter_name="kilosort2", sorter_params={})
    with pytest.raises(
        EngineError,
        match=r"nothing here can run kilosort2.*\n(.*\n)*Its image is made by: BASE_IMAGE=spikeinterface/kilosort2-compiled-base"
        r"@sha256:\.\.\. lussac images build kilosort2\nThe ways out: docker .*, apptainer .*, or install",
    ):
        sorters.prepare("ks2", run, tmp_path, "hash", base=tmp_path, engine="local")


def test_the_seed_depends_on_the_work_and_not_on_how_it_is_written():
    seed = derived_seed("simple", {"a": 6, "b": [1.0]}, "hash")
    assert seed == derived_seed("simple", {"b": (1,), "a": 6.0}, "hash")
    assert seed != derived_seed("simple", {"a": 6, "b": [1.0]}, "other")
    assert 0 <= seed < 1 << 31
    assert plain({"a": (1.0, None, True, 0.5)}) == {"a": [1, None, True, 0.5]}


@pytest.mark.parametrize(
    ("kind", "error", "outcome"),
    [
        ("ValueError", "no spikes", Outcome.SORTER_ERROR),
        ("MemoryError", "Unable to allocate 3 GiB", Outcome.OOM),
        ("OutOfMemoryError", "CUDA out of memory. Tried to allocate", Outcome.OOM),
        ("RuntimeError", "No CUDA GPUs are available", Outcome.GPU),
        ("OSError", "[Errno 28] No space left on device", Outcome.DISK),
    ],
)
def test_the_sorters_own_error_decides(kind, error, outcome):
    end = Exit(outcome=Outcome.SORTER_ERROR, code=1, message="ended with exit code 1", seconds=1.0, command=())
    said = judged(end, {"status": "error", "type": kind, "error": error})
    assert (said.outcome, said.message) == (outcome, error)


def test_an_end_without_a_result_is_an_error():
    end = Exit(outcome=Outcome.OK, code=0, message="", seconds=1.0, command=())
    assert judged(end, None).outcome is Outcome.SORTER_ERROR


def test_a_lock_pins_what_is_there_and_refuses_the_rest(tmp_path):
    wanted = images.Wanted("simple", Engine("docker"), "lussac/simple:0.105.3")
    images.write(images.lock({"one": wanted}), tmp_path / images.LOCK)
    locked = images.read(tmp_path / images.LOCK)
    assert locked["one"] == {
        "sorter": "simple",
        "image": "x",
        "digest": "",
        "rootfs": "sha256:1",
        "platform": "linux/amd64",
    }
    images.check("one", REF, locked)
    assert images.verify(locked, Engine("docker")) == {"one": ""}
    assert "missing" in images.verify(locked, Engine("docker", missing="missing"))["one"]
    with pytest.raises(EngineError, match="not in the lock file"):
        images.check("tridesclous2", REF, locked)
    changed = {"one": {**locked["one"], "rootfs": "sha256:2"}}
    with pytest.raises(EngineError, match="the lock file has sha256:2"):
        images.check("one", REF, changed)
    same = {"one": {**changed["one"], "digest": "sha256:d"}}
    images.check("one", replace(REF, digest="sha256:d"), same)


def test_a_lock_file_that_is_none(tmp_path):
    with pytest.raises(UsageError, match="doesn't exist"):
        images.read(tmp_path / "none.json")
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(UsageError, match="not JSON"):
        images.read(tmp_path / "x.json")
    (tmp_path / "x.json").write_text("[]")
    with pytest.raises(UsageError, match="no lock file of this version"):
        images.read(tmp_path / "x.json")


def test_what_is_ready_is_listed():
    entries = {entry.sorter: entry for entry in images.entries([Engine("docker"), Engine("singularity", missing="x")])}
    assert entries["simple"].ready == ("docker",)
    assert entries["kilosort4"].gpu == "optional"


def test_a_full_disk_explains_a_failure_and_nothing_else():
    failed = Exit(outcome=Outcome.SORTER_ERROR, code=1, message="ended with exit code 1", seconds=1.0, command=())
    assert judged(failed, None, full=True).outcome is Outcome.DISK
    assert judged(replace(failed, outcome=Outcome.TIMEOUT), None, full=True).outcome is Outcome.TIMEOUT
