"""What an engine is asked for, and how its answers are read; no engine is needed."""

import csv
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import requests
from docker.errors import APIError
from docker.types import Mount as Bind
from hypothesis import given
from hypothesis import strategies as st
from requests import Response

from lussac.engines import docker, gpus, podman, singularity
from lussac.engines.base import OUT, WORK, ImageRef, Job, Limits, Mount, Outcome, Tail, identity, is_gone, judge, on_host
from lussac.engines.daemon import SYSTEM, default_host, described, gpu_request, is_missing
from lussac.engines.hostpaths import Here
from lussac.errors import EngineError

IMAGE = ImageRef(asked="lussac/simple:1", start="sha256:abc", digest="", rootfs="sha256:def", source="local-build")
INFO = {"MemTotal": 8 << 30, "SecurityOptions": ["name=seccomp,profile=default"], "Architecture": "x86_64", "Driver": "overlay2"}
VERSION = {"Version": "29.0.1", "ApiVersion": "1.52", "Components": [{"Name": "Engine"}]}
PODMAN = {"Version": "5.4.2", "ApiVersion": "1.41", "Components": [{"Name": "Podman Engine"}]}
DAEMON = described(INFO, VERSION)
GPUS = ("all",)
ATTRIBUTES = {
    "Id": "sha256:abc",
    "RepoDigests": ["registry.org/lab/ks@sha256:111"],
    "RootFS": {"Layers": ["sha256:a", "sha256:b"]},
    "Os": "linux",
    "Architecture": "amd64",
    "Config": {"Labels": {"b": "2", "a": "1"}},
}


@pytest.fixture
def job(tmp_path):
    mounts = (Mount(tmp_path, OUT, read_only=False), Mount(tmp_path, WORK, read_only=False))
    return Job(
        image=IMAGE, argv=("python", "x.py"), mounts=mounts, env={"OMP_NUM_THREADS": "2"}, limits=Limits(cores=2), label="run"
    )


def test_docker_gets_nothing_but_what_it_needs(job):
    made = docker.create_arguments(job, DAEMON, [], GPUS)
    assert made["user"] == f"{os.getuid()}:{os.getgid()}"
    assert (made["network_mode"], made["read_only"], made["cap_drop"]) == ("none", True, ["ALL"])
    assert made["security_opt"] == ["no-new-privileges"]
    assert (made["entrypoint"], made["command"]) == (["python"], ["x.py"])
    assert made["nano_cpus"] == 2_000_000_000
    assert "mem_limit" not in made
    assert "device_requests" not in made
    assert made["environment"]["HOME"] == WORK


def test_docker_limits_memory_without_swap_and_gives_gpus(job):
    made = docker.create_arguments(replace(job, gpu=True, limits=Limits(memory=1 << 30)), DAEMON, [], GPUS)
    assert made["mem_limit"] == made["memswap_limit"] == made["shm_size"] == 1 << 30
    assert made["device_requests"][0]["Count"] == -1


def test_a_rule_is_relaxed_only_where_the_catalogue_says_so(job):
    relaxed = replace(job, relaxed=frozenset({"root", "network", "writable-root"}))
    made = docker.create_arguments(relaxed, DAEMON, [], GPUS)
    assert (made["user"], made["network_mode"], made["read_only"]) == ("0:0", "host", False)


def test_the_root_of_a_rootless_daemon_is_its_user(job):
    rootless = described({**INFO, "SecurityOptions": ["name=rootless"]}, VERSION)
    podman = described({**INFO, "Rootless": True}, VERSION)
    for daemon in (rootless, podman):
        assert docker.create_arguments(job, daemon, [], GPUS)["user"] == "0:0"


def test_limits_are_enforced_as_far_as_a_daemon_may(job):
    rootless = {"SecurityOptions": ["name=rootless"]}
    told = [
        described(INFO | more, VERSION) for more in (rootless | {"CgroupVersion": "1"}, rootless | {"CgroupVersion": "2"}, {})
    ]
    assert ["memory" in docker.enforced(job, daemon) for daemon in told] == [False, True, True]
    assert docker.enforced(replace(job, relaxed=frozenset({"network"})), None) == ("seconds",)


def test_podman_gets_awkward_paths_in_the_form_that_it_understands(job):
    mounts = [Bind("/x", source, type="bind", read_only=True) for source in ("/plain:x", '/a,"b')]
    assert podman.spelled(mounts, podman=False) == {"mounts": mounts, "volumes": []}
    assert podman.spelled(mounts, podman=True) == {"mounts": mounts[:1], "volumes": ['/a,"b:/x:ro']}
    with pytest.raises(EngineError, match="Rename it"):
        podman.spelled([Bind("/x", "/a,b:c", type="bind")], podman=True)


def test_users_keep_their_numbers_where_a_daemon_would_change_them(job):
    remapping = described({**INFO, "SecurityOptions": ["name=userns"]}, VERSION)
    made = docker.create_arguments(job, remapping, [], GPUS)
    assert (made["userns_mode"], made["user"]) == ("host", f"{os.getuid()}:{os.getgid()}")
    assert "userns_mode" not in docker.create_arguments(job, DAEMON, [], GPUS)


@pytest.mark.parametrize(
    ("info", "version", "cdi", "offers"),
    [
        ({}, VERSION, False, False),
        ({"Runtimes": {"nvidia": {}, "runc": {}}}, VERSION, False, True),
        ({"DiscoveredDevices": [{"Source": "cdi", "ID": "nvidia.com/gpu=0"}]}, VERSION, True, True),
        ({"Runtimes": {"nvidia": {}}, "DiscoveredDevices": [{"Source": "cdi", "ID": "nvidia.com/gpu=0"}]}, VERSION, False, True),
        ({}, PODMAN, True, False),
    ],
    ids=["none", "hook", "cdi", "both", "podman"],
)
def test_how_a_daemon_is_asked_for_gpus(info, version, cdi, offers):
    daemon = described(INFO | info, version)
    assert (daemon.cdi, daemon.gpus) == (cdi, offers)


@pytest.mark.parametrize(
    ("visible", "cdi", "made"),
    [
        (None, False, {"Driver": "", "Count": -1, "DeviceIDs": [], "Capabilities": [["gpu"]]}),
        ("1,3", False, {"Driver": "", "Count": 0, "DeviceIDs": ["1", "3"], "Capabilities": [["gpu"]]}),
        (None, True, {"Driver": "cdi", "Count": 0, "DeviceIDs": ["nvidia.com/gpu=all"], "Capabilities": []}),
        ("GPU-12ab", True, {"Driver": "cdi", "Count": 0, "DeviceIDs": ["nvidia.com/gpu=GPU-12ab"], "Capabilities": []}),
    ],
)
def test_gpus_as_the_daemon_is_asked_for_them(visible, cdi, made):
    ids = gpus.allotted({} if visible is None else {"CUDA_VISIBLE_DEVICES": visible})
    asked = gpu_request(ids, cdi=cdi)
    assert {key: asked[key] for key in made} == made


def test_apptainer_which_shows_all_gpus_is_told_which_to_use():
    assert gpus.handed_on({"CUDA_VISIBLE_DEVICES": "1", "HOME": "/"}) == {"CUDA_VISIBLE_DEVICES": "1"}
    assert gpus.handed_on({}) == {}


def test_the_daemon_is_the_one_that_is_named_or_the_first_that_may_be_used(tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "tcp://lab:2375")
    assert default_host() == "tcp://lab:2375"
    monkeypatch.delenv("DOCKER_HOST")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "podman").mkdir()
    (tmp_path / "podman" / "podman.sock").touch()
    own = f"unix://{tmp_path}/podman/podman.sock"
    assert default_host() == (SYSTEM if os.access("/var/run/docker.sock", os.W_OK) else own)


@pytest.mark.parametrize("hidden", ["", "-1", "NoDevFiles"])
def test_gpus_that_are_hidden_from_this_process_are_given_to_no_job(hidden):
    assert gpus.allotted({"CUDA_VISIBLE_DEVICES": hidden}) == ()


ALIVE = {"orchestrator", "another"}
HERE = identity(os.getpid())
BOOT, NAMESPACE, PID, START = HERE.split("/")
GONE = f"{BOOT}/{NAMESPACE}/{PID}/{int(START) + 1}"
ELSEWHERE = f"{BOOT}/1/1/5"


@pytest.mark.parametrize(
    ("labels", "running", "own", "abandoned"),
    [
        ({docker.PARENT: HERE}, True, "", False),
        ({docker.PARENT: GONE}, True, "", True),
        ({docker.PARENT: "other-boot/1/1/5"}, True, "", False),
        ({docker.PARENT: "other-boot/1/1/5"}, False, "", True),
        ({docker.PARENT: ELSEWHERE}, True, "", False),
        ({docker.PARENT: ELSEWHERE, docker.CONTAINER: "dead"}, True, "orchestrator", True),
        ({docker.PARENT: ELSEWHERE, docker.CONTAINER: "another"}, True, "orchestrator", False),
        ({docker.PARENT: ELSEWHERE, docker.CONTAINER: "orchestrator"}, True, "orchestrator", True),
        ({docker.PARENT: HERE, docker.CONTAINER: "orchestrator"}, True, "orchestrator", False),
        ({docker.PARENT: GONE, docker.CONTAINER: "orchestrator"}, True, "orchestrator", True),
    ],
    ids=["mine", "gone", "other machine", "before a restart", "not seen", "orchestrator gone", "other orchestrator",
         "orchestrator started anew", "same orchestrator", "gone in the same orchestrator"],
)  # fmt: skip
def test_whose_containers_are_removed(labels, running, own, abandoned):
    assert docker.is_abandoned(labels, running=running, alive=ALIVE, own=own) is abandoned


def test_a_container_says_whose_it_is(job):
    assert docker.labels(job, "parent", None, {}) == {docker.RUN: "run", docker.PARENT: "parent"}
    assert docker.labels(job, "parent", Here(()), {}) == {docker.RUN: "run", docker.PARENT: "parent"}
    assert docker.labels(job, "parent", Here((), "abc"), {})[docker.CONTAINER] == "abc"


def test_an_image_is_started_by_what_cannot_move():
    found = docker.reference("registry.org/lab/ks:4", ATTRIBUTES)
    assert (found.start, found.digest, found.source) == ("sha256:abc", "sha256:111", "registry")
    assert found.rootfs == docker.rootfs_digest(["sha256:a", "sha256:b"])
    assert found.details["label a"] == "1"
    built_here = docker.reference("lussac/simple:1", {**ATTRIBUTES, "RepoDigests": ["localhost/lussac/simple@sha256:222"]})
    assert (built_here.digest, built_here.source) == ("", "local-build")


def test_another_digest_than_the_one_asked_for_is_refused():
    assert docker.reference("registry.org/lab/ks@sha256:111", ATTRIBUTES).digest == "sha256:111"
    with pytest.raises(EngineError, match="sha256:999 was asked for"):
        docker.reference("registry.org/lab/ks@sha256:999", ATTRIBUTES)


@pytest.mark.parametrize(
    ("message", "outcome"),
    [
        ('invalid mount config for type "bind": bind source path does not exist: /x', Outcome.MOUNT),
        ('could not select device driver "" with capabilities: [[gpu]]', Outcome.GPU),
        ('exec: "python": executable file not found in $PATH', Outcome.IMAGE),
        ("exec /usr/bin/python: exec format error", Outcome.IMAGE),
        ("something else", Outcome.INFRA),
    ],
)
def test_a_refusal_of_the_daemon_has_a_cause(message, outcome):
    assert docker.cause(message) is outcome


def test_apptainer_gets_nothing_but_what_it_needs(job):
    made = singularity.arguments(job, isolate_network=True)
    assert {"--containall", "--cleanenv", "--no-home", "--no-eval", "--pid"} <= set(made)
    assert "--nv" not in made
    assert made[made.index("--network") + 1] == "none"
    assert made[-4:] == ("env", "HOME=/lussac/work", "python", "x.py")
    assert "--network" not in singularity.arguments(job, isolate_network=False)
    assert "--nv" in singularity.arguments(replace(job, gpu=True), isolate_network=True)


@given(
    st.text(st.characters(exclude_characters="/\0", exclude_categories=("Cs", "Cc")), min_size=1).filter(
        lambda name: name not in "..  "
    )
)
def test_any_path_can_be_mounted(name):
    line = singularity.bind(Mount(Path("/no such folder") / name, f"/data/{name}"))
    fields = next(csv.reader([line]))
    assert fields == ["type=bind", f"source=/no such folder/{name}", f"destination=/data/{name}", "ro"]


def test_the_users_variables_do_not_change_what_a_job_sees():
    user = {"PATH": "/bin", "APPTAINER_BIND": "/", "APPTAINERENV_X": "1", "SINGULARITY_BIND": "/", "APPTAINER_CACHEDIR": "/fast"}
    made = singularity.environment(user, {"Y": "a,b"})
    assert made["PATH"] == "/bin"
    assert made["APPTAINER_CACHEDIR"] == "/fast"
    assert made["APPTAINERENV_Y"] == made["SINGULARITYENV_Y"] == "a,b"
    assert not {"APPTAINER_BIND", "SINGULARITY_BIND", "APPTAINERENV_X", "APPTAINERENV_HOME"} & set(made)


@pytest.mark.parametrize(
    ("ended", "code", "options", "outcome", "words"),
    [
        (None, 0, {}, Outcome.OK, ""),
        (None, 1, {}, Outcome.SORTER_ERROR, "exit code 1"),
        (None, 139, {}, Outcome.SORTER_ERROR, "signal 11"),
        (None, 137, {}, Outcome.OOM, "killed by the system"),
        (None, 1, {"out_of_memory": True}, Outcome.OOM, "more than its 2.0 GB"),
        (Outcome.TIMEOUT, None, {}, Outcome.TIMEOUT, "60 s"),
        (Outcome.KILLED, None, {}, Outcome.KILLED, "stopped"),
    ],
)
def test_what_an_end_means(ended, code, options, outcome, words):
    found, message = judge(ended, code, Limits(seconds=60, memory=2_000_000_000), **options)
    assert found is outcome
    assert words in message


def test_paths_of_a_job_on_this_machine():
    mounts = (Mount(Path("/draft/in"), "/lussac/in"), Mount(Path("/rec"), "/lussac/in/recording"))
    assert on_host("/lussac/in/job.json", mounts) == "/draft/in/job.json"
    assert on_host("/lussac/in/recording/x", mounts) == "/rec/x"
    assert on_host("/lussac/input", mounts) == "/lussac/input"


def test_a_process_has_a_name_of_its_own():
    name = identity(os.getpid())
    assert not is_gone(name)
    boot, namespace, pid, start = name.split("/")
    assert is_gone(f"{boot}/{namespace}/{pid}/{int(start) + 1}")
    assert is_gone(f"another-boot/{namespace}/{pid}/{start}")
    assert not is_gone(f"{boot}/1/{pid}/{start}")


def test_the_tail_of_a_log(tmp_path):
    tail = Tail(tmp_path / "log")
    assert tail.line() == ""
    with (tmp_path / "log").open("w") as log:
        log.write("one\n 10 %\r 20 %\r")
        log.flush()
        assert tail.line() == "20 %"
        assert tail.line() == ""


@dataclass
class Refusing:
    """A container whose removal the daemon refuses."""

    status: int
    labels: Mapping[str, str] = field(default_factory=dict)

    def remove(self, **_options: bool) -> None:
        response = requests.Response()
        response.status_code = self.status
        raise APIError("refused", response=response)


def test_a_container_that_somebody_removes_already_is_left_to_them():
    docker._remove(None, Refusing(409))
    with pytest.raises(APIError):
        docker._remove(None, Refusing(500))


@pytest.mark.parametrize(
    ("status", "words", "missing"),
    [
        (404, "No such container: abc", True),
        (500, "container abc does not exist in database: no such container", True),
        (500, "storage is broken", False),
        (409, "removal is in progress", False),
    ],
)
def test_a_container_that_is_gone_is_told_from_a_fault(status, words, missing):
    response = Response()
    response.status_code = status
    assert is_missing(APIError("refused", response=response, explanation=words)) == missing
