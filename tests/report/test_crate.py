"""The RO-Crate of a run: what it says, and the judgement of rocrate-validator."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import lussac, write_params

from lussac.errors import InputError
from lussac.report.crate import FILE, write_crate

REQUIREMENTS = Path(__file__).parents[2] / "requirements" / "validator.txt"
PROFILES = ("ro-crate-1.1", "process-run-crate-0.5", "workflow-run-crate-0.5", "provenance-run-crate-0.5")
SHA = "0" * 64
IMAGE = {
    "requested": "registry.org:5000/lab/simple:0.105.3",
    "resolved": f"sha256:{SHA}",
    "manifest": f"sha256:{SHA}",
    "config": f"sha256:{SHA}",
    "rootfs": f"sha256:{'1' * 64}",
    "platform": "linux/amd64",
    "labels": {},
    "source": "registry",
    "sif": None,
}


@pytest.fixture(scope="module")
def logs(case, tmp_path_factory):
    """Run a pipeline, and say of a sorter in a container and one that failed what a run with them would say."""
    folder = tmp_path_factory.mktemp("my run, é")
    pipeline = {"align_units": {"all": {}}, "merge_sortings": {"all": {}}}
    code, _, err = lussac(write_params(folder, case.params(pipeline)))
    assert (code, err) == (0, "")
    record = json.loads((folder / "logs" / "provenance.json").read_text())
    record["software"]["image"] = IMAGE | {"requested": "lussac", "rootfs": f"sha256:{'e' * 64}"}
    (folder / "spikes.npy").write_bytes(b"spikes")
    period = {key: record[key] for key in ("started", "ended")}
    ran = {"versions": {"sorter": "2.1"}, "parameters": {"seed": 3, "label": None}, "image": IMAGE, **period}
    outputs = [{"path": str(folder / "spikes.npy"), "sha256": SHA}]
    record["sorters"] = [
        {"name": "a", "sorter": "simple", "key": "a" * 64, "outcome": "done", "outputs": outputs, **ran},
        {"name": "b", "sorter": "lupin", "key": "b" * 64, "outcome": "failed", "message": "no GPU"},
    ]
    (folder / "logs" / "provenance.json").write_text(json.dumps(record))
    return folder / "logs"


def entities(logs):
    graph = json.loads(write_crate(logs).read_text())["@graph"]
    return {entity["@id"]: entity for entity in graph}


def test_it_tells_what_ran_in_which_image_on_which_files(logs):
    crate = entities(logs)
    action = crate["#aaaaaaaaaaaaaaaa-a"]
    assert crate[action["instrument"]["@id"]] | {"@id": ""} == {
        "@id": "",
        "@type": "SoftwareApplication",
        "name": "simple",
        "softwareVersion": "2.1",
    }
    image = crate[action["containerImage"]["@id"]]
    assert (image["registry"], image["name"], image["tag"]) == ("registry.org:5000", "lab/simple", "0.105.3")
    assert (image["sha256"], image["identifier"]) == (SHA, IMAGE["rootfs"])
    given = {crate[entity["@id"]]["name"]: crate[entity["@id"]]["value"] for entity in action["object"]}
    assert given == {"seed": "3", "label": "null"}
    failed = crate["#bbbbbbbbbbbbbbbb-b"]
    assert (failed["actionStatus"]["@id"].rpartition("/")[2], failed["error"]) == ("FailedActionStatus", "no GPU")
    record = json.loads((logs / "provenance.json").read_text())
    whole = crate["#run"]
    assert crate[whole["containerImage"]["@id"]]["identifier"] == f"sha256:{'e' * 64}"
    assert {Path(facts["path"]).as_uri() for facts in record["inputs"]} == {entity["@id"] for entity in whole["object"]}
    assert crate["params.json"]["sha256"] == record["params"]["sha256"]


def test_every_file_of_the_folder_that_it_names_is_there_and_it_is_written_the_same_again(logs):
    crate = entities(logs)
    parts = [entity["@id"] for entity in crate["./"]["hasPart"]]
    assert {"params.json", "provenance.json"} < set(parts)
    assert all((logs / part).is_file() for part in parts if "://" not in part)
    first = (logs / FILE).read_bytes()
    assert lussac("report", "--ro-crate", logs)[:2] == (0, f"{logs / FILE}\n")
    assert (logs / FILE).read_bytes() == first


def test_a_run_that_did_not_end_has_no_crate(tmp_path):
    with pytest.raises(InputError, match="no logs folder"):
        write_crate(tmp_path)
    code, _, err = lussac("report", "--ro-crate", "-o", tmp_path / "x", tmp_path)
    assert code == 2
    assert "takes no --output" in err


@pytest.fixture(scope="module")
def validator(tmp_path_factory):
    """Install rocrate-validator in an environment of its own; return its Python."""
    folder = tmp_path_factory.mktemp("validator")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    install = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "-r", REQUIREMENTS]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"rocrate-validator can't be installed here: {done.stderr.strip().splitlines()[-1]}")
    return folder / "bin" / "python"


@pytest.mark.slow
def test_the_validator_accepts_it_and_would_refuse_less(logs, validator, tmp_path):
    write_crate(logs)
    crate_folder = tmp_path / "crate"  # the validator itself takes no path with spaces
    shutil.copytree(logs, crate_folder)

    def judged(profile):
        command = [validator, Path(__file__).with_name("validate_crate.py"), crate_folder, profile]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    file = crate_folder / FILE
    for profile in PROFILES:
        verdict = judged(profile)
        assert (verdict.returncode, verdict.stdout) == (0, ""), verdict.stderr
    crate = json.loads(file.read_text())
    for entity in crate["@graph"]:
        if entity["@type"] == "CreateAction":
            entity.pop("instrument")
    file.write_text(json.dumps(crate))
    assert judged(PROFILES[-1]).returncode == 1
