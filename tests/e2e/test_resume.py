"""A run that is killed anywhere and started again ends with the same bytes as one that was left alone."""

import hashlib
import time

import pytest
from tiny import Command, lussac, write_params

from lussac.store import files_below

WINDOW = {"wvf_extraction": {"ms_before": 1.0, "ms_after": 1.0, "max_spikes_per_unit": 50}}
PIPELINE = {
    "remove_duplicated_spikes": {"all": {"censored_period": 0.3}},
    "units_categorization": {"all": {"fast": {"firing_rate": {"min": 12.0}}}},
    "align_units": {"all": WINDOW},
    "remove_bad_units": {"fast;rest": {"firing_rate": {"min": 1.0}}},
    "remove_duplicated_spikes_2": {"fast": {"censored_period": 0.4}},
    "remove_bad_units_2": {"all": {"contamination": {"refractory_period": [0.4, 1.9], "max": 0.9}}},
    "merge_sortings": {"all": {}},
    "export_to_phy": {"all": {"path": "$PARAMS_FOLDER/phy"}},
}
PASSES = 9


def content(folder):
    """Return a hash of everything that a step has stored, by the step's folder; logs hold times, and so are left out."""
    steps = {}
    for step in sorted((folder / "logs" / "steps").iterdir()):
        files = [file for file in files_below(step) if "sortings" in file.relative_to(step).parts]
        joined = b"".join(file.relative_to(step).as_posix().encode() + file.read_bytes() for file in files)
        steps[step.name] = hashlib.sha256(joined).hexdigest()
    return steps


@pytest.fixture(scope="module")
def undisturbed(case, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    code, _, err = lussac(write_params(folder, case.params(PIPELINE)))
    assert (code, err) == (0, "")
    steps = content(folder)
    assert len(steps) == PASSES
    return steps


def wait_for(condition, command, timeout=60):
    """Return whether the condition came true before the command ended."""
    end = time.monotonic() + timeout
    while not condition():
        if command.process.exitcode is not None or time.monotonic() > end:
            return False
        time.sleep(0.001)
    return True


def test_killed_after_every_commit_and_in_the_middle_of_every_step(case, tmp_path, undisturbed):
    file = write_params(tmp_path, case.params(PIPELINE))
    logs = tmp_path / "logs"
    kills = 0
    for step in range(1, PASSES + 1):
        for moment in ("started", "writing", "committed"):
            points = {
                "started": lambda: any((logs / "drafts").glob("*")),
                "writing": lambda: any((logs / "drafts").glob("*/sortings/*")),
                "committed": lambda step=step: len(list((logs / "steps").glob("*"))) >= step,
            }
            command = Command(file, folder=tmp_path)
            kills += wait_for(points[moment], command)
            command.kill()
    assert kills >= 20
    code, out, err = lussac(file)
    assert (code, err) == (0, ""), out
    # the export goes to another folder, so that the key of its step differs
    assert [hashed for name, hashed in content(tmp_path).items() if "export" not in name] == [
        hashed for name, hashed in undisturbed.items() if "export" not in name
    ]
    assert not (tmp_path / "tmp").exists()
    assert not (logs / "drafts").exists()


@pytest.mark.parametrize("seconds", [0.02, 0.1, 0.3, 0.5])
def test_killed_at_any_time(case, tmp_path, undisturbed, seconds):
    pipeline = {key: PIPELINE[key] for key in list(PIPELINE)[:3]}
    file = write_params(tmp_path, case.params(pipeline))
    command = Command(file, folder=tmp_path)
    time.sleep(seconds)
    command.kill()
    code, _, err = lussac(file)
    assert (code, err) == (0, "")
    assert content(tmp_path).items() <= undisturbed.items()


def test_two_jobs_give_the_same_bytes_as_one(case, tmp_path, undisturbed):
    assert lussac(write_params(tmp_path, case.params(PIPELINE, n_jobs=2)))[0] == 0
    assert sorted(content(tmp_path).values()) == sorted(undisturbed.values())
