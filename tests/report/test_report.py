"""The report of real runs, and of logs as runs leave them when all doesn't go well."""

import base64
import csv
import json
import re
import shutil

import numpy as np
import pytest
from spikeinterface.core import NumpyRecording
from spikeinterface.preprocessing import interpolate_bad_channels
from tiny import CHANNELS, RATE, Case, lussac, make_probe, write_params, write_recording

from lussac import sortings as srt
from lussac.errors import InputError
from lussac.preprocessing import remembered_labels
from lussac.report import DECISIONS_FILE, REPORT_FILE, UNITS_FILE, write_report
from lussac.report.templates import bad_channels

from .conftest import NASTY, SAMPLES

UNSEEN = "Templates, amplitudes and the probe: not stored. A run with logs_level 2 that comes to its end writes them."
PIPELINE = {
    "remove_bad_units": {"all": {"firing_rate": {"min": 8.0}, "amplitude": {"min": 0.0}}},
    "merge_sortings": {"all": {}},
    "remove_bad_units_2": {"all": {"SNR": {"min": 0.0}}},
}


def rows(file):
    with file.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def content(page):
    """Return what the page holds as data."""
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page.read_text(), re.DOTALL)[1])


def numbers(text, kind):
    """Return an array that the page holds packed."""
    return np.frombuffer(base64.b64decode(text), kind)


@pytest.fixture(scope="module")
def finished(case, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    code, _, err = lussac(write_params(folder, case.params(PIPELINE)))
    assert (code, err) == (0, "")
    return folder / "logs"


def test_a_run_ends_with_its_report(finished):
    merged = srt.load(next((finished / "steps").glob("03-*")) / "sortings" / "merged_sorting")
    assert merged.get_num_units() > 0
    table = rows(finished / UNITS_FILE)
    assert [row["unit"] for row in table] == [str(unit) for unit in merged.unit_ids]
    assert [int(row["spikes"]) for row in table] == list(merged.count_num_spikes_per_unit().values())
    for row in table:
        assert float(row["firing_rate"]) == pytest.approx(int(row["spikes"]) / 12.0)
        assert float(row["SNR"]) >= 0
        assert float(row["peak_to_peak"]) > 0
        assert row["main_channel"] in {str(channel) for channel in range(8)}
        members = json.loads(row["members"])
        assert {member["sorting"] for member in members} <= {"alpha", "beta", "gamma"}
        assert all(0.5 < member["agreement"] <= 1 for member in members)


def test_all_decisions_are_in_one_table(finished):
    lines = [line for file in sorted((finished / "steps").glob("*/decisions.jsonl")) for line in file.read_text().splitlines()]
    table = rows(finished / DECISIONS_FILE)
    assert [row["reason"] for row in table] == [json.loads(line)["reason"] for line in lines]
    removed = [row for row in table if row["step"].startswith("01-") and row["action"] == "removed"]
    assert removed
    assert all("firing_rate" in row["reason"] and float(row["value_firing_rate"]) < 8 for row in removed)


def test_the_page_needs_no_other_file_and_is_small(finished):
    page = (finished / REPORT_FILE).read_text()
    assert not re.search(r"<(script|link|img|iframe)[^>]+(src|href)=\"(?!data:)", page)
    assert "<!--=" not in page
    assert len(page.encode()) < 6e6
    shown = content(finished / REPORT_FILE)
    assert [step["label"] for step in shown["steps"]] == [
        "01-remove_bad_units.all",
        "02-merge_sortings.all",
        "03-remove_bad_units_2.all",
    ]
    assert [row["analysis"] for row in shown["analyses"]] == ["alpha", "beta", "gamma"]
    assert shown["missing"] == []
    assert shown["params_file"] == (finished / "params.json").read_text()
    assert len(shown["curves"]["waveforms"]) == len(shown["units"])
    assert numbers(shown["curves"]["auto"][0], "<u4")[0] == 0
    assert 0 < numbers(shown["curves"]["intervals"][0], "<u4").sum() < shown["units"][0]["spikes"]


def test_the_page_holds_what_was_seen_on_the_traces(finished):
    shown = content(finished / REPORT_FILE)
    curves, probe, unit = shown["curves"], shown["probe"], shown["units"][0]
    waves = numbers(curves["waveforms"][0], "<i2").reshape(len(curves["near"][0]), -1) * curves["step"]
    assert probe["channels"][curves["near"][0][0]] == unit["main_channel"]
    assert np.ptp(waves[0]) == pytest.approx(unit["peak_to_peak"], abs=0.2)
    assert len(probe["noise"]) == len(probe["positions"]) == 8
    times, amplitudes = (numbers(curves[name][0], kind) for name, kind in (("times", "<f4"), ("amplitudes", "<i2")))
    assert len(times) == len(amplitudes)
    assert unit["spikes"] - 2 <= len(times) <= unit["spikes"]  # less those whose window leaves the recording
    assert (np.diff(times) > 0).all()
    assert 0 < times[0] < times[-1] < 12.0
    peak = waves[0][np.abs(waves[0]).argmax()]
    assert np.mean(amplitudes * curves["step"]) == pytest.approx(peak, rel=0.05, abs=0.5)


def test_neighbours_look_alike_and_have_a_cross_correlogram(finished):
    shown = content(finished / REPORT_FILE)
    near, counts = (shown["curves"]["neighbours"][name] for name in ("near", "counts"))
    assert len(near) == len(shown["units"])
    for place, rows_of in enumerate(near):
        assert 0 < len(rows_of) <= 4
        likeness = [alike for _, alike, _, _ in rows_of]
        assert likeness == sorted(likeness, reverse=True)
        for other, _, distance, pair in rows_of:
            assert other != place
            a, b = (np.array([shown["units"][which][axis] for axis in ("x", "y")]) for which in (place, other))
            assert distance == pytest.approx(np.linalg.norm(a - b), abs=0.2)
            assert len(numbers(counts[pair], "<u4")) == 201


def test_each_choice_has_its_runner_up(finished):
    for unit in content(finished / REPORT_FILE)["units"]:
        assert unit["runner_up"]
        assert unit["runner_up"] != unit["source"]
        assert unit["runner_up_score"] <= unit["score"]


def test_removed_units_name_criterion_value_and_limit(finished):
    removed = content(finished / REPORT_FILE)["removed"]
    bad = [row for row in removed if row["step"].startswith("01-")]
    assert bad
    for row in bad:
        assert (row["criterion"], row["limit"]) == ("firing_rate", "\u2265 8")
        assert row["value"] < 8
    assert all(row["reason"] for row in removed)


def test_what_each_analysis_brought_in(finished):
    shown = content(finished / REPORT_FILE)
    inputs = shown["steps"][0]["before"]
    assert sum(row["given"] for row in shown["analyses"]) == inputs
    assert sum(row["removed"] for row in shown["analyses"]) == len(shown["removed"])
    for row in shown["analyses"]:
        found = [unit for unit in shown["units"] if row["analysis"] in {member["sorting"] for member in unit["members"]}]
        assert row["found"] == len(found)
        assert row["alone"] == 0  # the merge wants two analyses
        assert 0.5 < row["mean_agreement"] <= 1


def test_the_units_that_a_merge_took_flow_into_it(finished):
    flow = [link for link in content(finished / REPORT_FILE)["flow"] if "merge_sortings" in link["target"]]
    into = [link for link in flow if link["target"].startswith("merged_sorting")]
    assert [link["source"] for link in into] == [f"{name}, 01-remove_bad_units.all" for name in ("alpha", "beta", "gamma")]
    members = [member for unit in content(finished / REPORT_FILE)["units"] for member in unit["members"]]
    assert sum(link["units"] for link in into) == len(members)


def test_the_command_writes_it_again_also_of_moved_logs(finished, tmp_path):
    moved = shutil.copytree(finished, tmp_path / "moved")
    for name in (REPORT_FILE, UNITS_FILE, DECISIONS_FILE):
        (moved / name).unlink()
    code, out, err = lussac("report", moved)
    assert (code, out.replace("\n", ""), err) == (0, str(moved / REPORT_FILE), "")
    assert (moved / UNITS_FILE).read_bytes() == (finished / UNITS_FILE).read_bytes()
    assert lussac("report", moved, "--output", tmp_path / "copy.html")[0] == 0
    assert content(tmp_path / "copy.html") == content(finished / REPORT_FILE)


def test_a_page_in_a_folder_that_is_not_there_is_refused(finished, tmp_path):
    code, _, err = lussac("report", finished, "--output", tmp_path / "no" / "page.html")
    assert code == 2
    assert "there is no folder" in " ".join(err.split())


def test_a_killed_run_shows_what_it_had_finished(finished, tmp_path):
    killed = shutil.copytree(finished, tmp_path / "killed")
    events = (killed / "provenance.jsonl").read_text().splitlines()
    first = next(index for index, line in enumerate(events) if json.loads(line)["event"] == "step")
    (killed / "provenance.jsonl").write_text("\n".join([*events[: first + 1], events[first + 1][:40]]))
    shown = content(write_report(killed))
    assert shown["record"]["status"] == "running"
    assert [step["label"] for step in shown["steps"]] == ["01-remove_bad_units.all"]
    assert {unit["sorting"] for unit in shown["units"]} == {"alpha", "beta", "gamma"}


def test_a_damaged_step_is_told_as_missing(finished, tmp_path):
    damaged = shutil.copytree(finished, tmp_path / "damaged")
    next((damaged / "steps").glob("02-*/sortings/*/spikes.npy")).unlink()
    shown = content(write_report(damaged))
    assert shown["missing"] == ["02-merge_sortings.all: nothing is stored (done)", UNSEEN]


def test_no_report_below_level_2(case, tmp_path):
    assert lussac(write_params(tmp_path, case.params({}, logs_level=1)))[0] == 0
    assert not (tmp_path / "logs" / REPORT_FILE).exists()


def test_a_run_that_leaves_no_unit(case, tmp_path):
    pipeline = {"remove_bad_units": {"all": {"all": {}}}, "merge_sortings": {"all": {}}}
    assert lussac(write_params(tmp_path, case.params(pipeline)))[0] == 0
    assert rows(tmp_path / "logs" / UNITS_FILE) == []
    assert content(tmp_path / "logs" / REPORT_FILE)["units"] == []


def test_a_failed_sorter_is_told_whether_or_not_the_run_went_on(case, tmp_path):
    bad = {"sorter_name": "simple", "sorter_params": {"freq_min": 9000.0}}  # above freq_max: it fails as soon as it filters
    file = write_params(tmp_path, case.params({"remove_duplicated_spikes": {"all": {}}}) | {"spike_sorting": {"bad": bad}})
    assert lussac(file)[0] == 3
    stopped = content(tmp_path / "logs" / REPORT_FILE)
    assert stopped["record"]["status"] == "failed"
    assert stopped["missing"][0].startswith("sorter bad: failed.")
    assert stopped["units"] == []


@pytest.mark.parametrize("units", [0, 1, 600])
def test_any_number_of_units(logs, units):
    folder = logs(units, seen=True)
    page = write_report(folder)
    assert len(rows(folder / UNITS_FILE)) == len(content(page)["units"]) == units
    assert len(content(page)["curves"].get("waveforms", [])) == units
    assert page.stat().st_size < 15e6


def test_channels_that_were_bad_channels_are_told(logs):
    probe = content(write_report(logs(1, seen=True)))["probe"]
    assert probe["bad_channels"] == [{"channel": NASTY, "x": 0.0, "y": 300.0, "why": "dead"}]


def test_failed_sorters_and_an_interruption_are_told(logs):
    shown = content(write_report(logs(3, status="interrupted", sorters=[("kilosort", f"no GPU {NASTY}")])))
    assert shown["record"]["status"] == "interrupted"
    assert shown["missing"] == [f"sorter kilosort: failed. no GPU {NASTY}", UNSEEN]


def test_text_of_users_is_never_markup(logs):
    decision = {"unit": [NASTY, NASTY], "action": "removed", "reason": NASTY, "numbers": {NASTY: float("nan")}}
    folder = logs(2, ids=["a", NASTY], decisions=json.dumps(decision) + "\n")
    page = write_report(folder)
    assert "<script>document" not in page.read_text()
    assert "<img src=x" not in page.read_text()
    assert content(page)["units"][1]["unit"] == NASTY
    assert content(page)["decisions"][0]["reason"] == NASTY
    assert rows(folder / DECISIONS_FILE)[0]["unit"] == NASTY


def test_units_of_two_merges_keep_their_members_apart(case, tmp_path):
    pipeline = {
        "units_categorization": {"all": {"fast": {"firing_rate": {"min": 11.3}}}},
        "merge_sortings": {"fast;rest": {"require_multiple_sortings_match": False}},
    }
    assert lussac(write_params(tmp_path, case.params(pipeline)))[0] == 0
    table = rows(tmp_path / "logs" / UNITS_FILE)
    assert len({row["unit"] for row in table}) == len(table)
    assert len({row["category"] for row in table}) == 2
    flow = content(tmp_path / "logs" / REPORT_FILE)["flow"]
    assert all(link["units"] >= 0 for link in flow)
    rest = {link["source"] for link in flow if link["target"].endswith("merge_sortings.rest")}
    assert rest == {f"{name}, 02-merge_sortings.fast" for name in ("alpha", "beta", "gamma")}
    left = [sum(link["units"] for link in flow if link[end].endswith(".fast")) for end in ("source", "target")]
    assert left[0] == sum(link["units"] for link in flow if link["target"] in rest) < left[1]
    for row in table:
        source = {f"{member['sorting']}/{member['unit']}" for member in json.loads(row["members"])}
        assert set(re.findall(r"\w+/\d+", row["source"])) <= source


def test_what_is_no_logs_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="no logs folder"):
        write_report(tmp_path)
    (tmp_path / "LUSSAC-RUN").write_text("")
    with pytest.raises(InputError, match="no readable record"):
        write_report(tmp_path)


def test_channels_that_the_preprocessing_removed_are_named_with_the_reason(case, tmp_path):
    traces = np.random.default_rng(0).normal(0, 10, (SAMPLES, CHANNELS))
    traces[:, 5] *= 30
    write_recording(traces, tmp_path)
    params = case.params({"remove_duplicated_spikes": {"all": {}}})
    params["recording"] = {**Case(tmp_path, ()).recording, "preprocessing": {"remove_bad_channels": {"method": "mad"}}}
    assert lussac(write_params(tmp_path, params))[0] == 0
    shown = content(tmp_path / "logs" / REPORT_FILE)["probe"]
    assert [(channel["channel"], channel["why"]) for channel in shown["bad_channels"]] == [("5", "noise")]
    assert len(shown["noise"]) == CHANNELS - 1


def test_bad_channels_keep_the_label_that_they_were_found_with():
    recording = NumpyRecording([np.zeros((100, CHANNELS))], RATE)
    recording.set_probe(make_probe(CHANNELS))
    labels = remembered_labels({"bad channels of 0": '[[2, "dead"], [5, "noise"]]', "file": "abc"})
    found = bad_channels(recording, recording.remove_channels([2, 5]), labels)
    assert [(channel.channel, channel.why) for channel in found] == [("2", "dead"), ("5", "noise")]
    filled = interpolate_bad_channels(recording, np.array([4]))
    assert [(channel.channel, channel.why) for channel in bad_channels(recording, filled, {})] == [("4", "interpolated")]
    places = recording.get_channel_locations(axes="xy")
    assert [(channel.x, channel.y) for channel in found] == [tuple(places[2]), tuple(places[5])]


def test_the_agreement_of_analyses_that_no_step_has_stored_is_known_from_the_merge(case, tmp_path):
    assert lussac(write_params(tmp_path, case.params({"merge_sortings": {"all": {}}})))[0] == 0
    units = content(tmp_path / "logs" / REPORT_FILE)["units"]
    assert units
    for unit in units:
        agreements = [member["agreement"] for member in unit["members"]]
        assert all(0.3 < agreement <= 1 for agreement in agreements)
        assert max(agreements) == 1 or " + " in unit["source"]  # the one whose spikes were taken, or several were


def test_templates_of_another_version_are_shown_and_written_anew_by_the_next_run(finished, tmp_path):
    logs = shutil.copytree(finished, tmp_path / "old")
    with np.load(logs / "templates.npz") as stored:
        old = {**stored, "key": np.array("of another version")}
    np.savez(logs / "templates.npz", **old)
    assert content(write_report(logs))["curves"]["waveforms"]
    foreign = {**old, "of": np.array("of other units")}
    np.savez(logs / "templates.npz", **foreign)
    assert "waveforms" not in content(write_report(logs))["curves"]


def test_units_beyond_the_most_that_are_drawn_are_in_the_tables(logs, monkeypatch):
    monkeypatch.setattr("lussac.report.content.MOST_DRAWN", 2)
    folder = logs(3, seen=True)
    shown = content(write_report(folder))
    assert (len(shown["units"]), len(shown["curves"]["auto"]), len(shown["curves"]["waveforms"])) == (3, 2, 2)
    assert len(rows(folder / UNITS_FILE)) == 3
