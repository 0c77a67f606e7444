"""Sortings made elsewhere, in any format that they are found in. Reading one never runs code that lies in its files.

What a path holds is told by its content, not by its name: `FORMATS` is the list of what is known, each with a test and a reader.
"""

import csv
import importlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from spikeinterface.core import BaseSorting
from spikeinterface.core.base import minimum_spike_dtype
from spikeinterface.core.zarrextractors import ZarrSortingExtractor

from lussac import plainpickle, sortings
from lussac.errors import InputError
from lussac.loading import absolute_paths
from lussac.units import UnitId

SPIKES, TIMES = "spikes.npy", "spike_times.npy"
SORTER_MANIFEST = "lussac-sorter.json"
NUMPY_INFO, NPZ_INFO, NPZ_FILE = "numpysorting_info.json", "npz.json", "sorting_cached.npz"
SORTER_LOG = "spikeinterface_log.json"
PHY = (TIMES, "params.py")
DESCRIPTIONS = (
    *("si_folder.json", "cached.json", "cached.pkl", "cached.pickle"),
    *("sorting.json", "sorting.pkl", "sorting.pickle"),  # waveform folders, before 0.101
)
"""Files that describe the sorting of a folder that SpikeInterface wrote, in any of its versions."""

RUN_CODE = {"KlustaSortingExtractor", "SHYBRIDSortingExtractor", "TridesclousSortingExtractor"}
"""Extractors whose files hold Python code or pickles."""
RUN_CODE_SORTERS = {"ironclust", "klusta", "tridesclous"}

_PHY_NAMES = {
    "ch_group": "group",
    "chan_grp": "group",
    "channel_group": "group",
    "cluster_id": "original_cluster_id",
    "group": "quality",
}
"""Columns of Phy that SpikeInterface, and everybody who reads its sortings, calls otherwise."""
_PHY_TEXTS = {sortings.CATEGORY, "lussac_purkinje"}
"""Columns that stay text even where every value looks like a number."""


@dataclass(frozen=True, slots=True)
class Format:
    """A way to store a sorting.

    Parameters
    ----------
    name
        As it is called in messages.
    matches
        Tells whether a path that exists holds it; reads next to nothing.
    read
        Returns the sorting.
    """

    name: str
    matches: Callable[[Path], bool]
    read: Callable[[Path], BaseSorting]


def load_analysis(path: Path) -> BaseSorting:
    """Read a sorting.

    Raises
    ------
    InputError
        Where there is none, or it is damaged, or reading it would run code.
    """
    found = recognise(path)
    try:
        return found.read(path)
    except InputError:
        raise
    except Exception as error:  # a damaged file makes its reader raise anything
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise InputError(
            f"{path} looks like a {found.name}, but can't be read: {lines[0].rstrip('. ')}. Export it again."
        ) from error


def recognise(path: Path) -> Format:
    """Tell what a path holds, without reading it.

    Raises
    ------
    InputError
        Where it holds no sorting.
    """
    if not path.exists():
        raise InputError(f"There is no analysis at {path}. Correct its path.")
    try:
        found = next((known for known in FORMATS if known.matches(path)), None)
    except OSError as error:
        raise InputError(f"The analysis {path} can't be read: {error.strerror}. Check its permissions.") from error
    if found is None:
        known = ", ".join(dict.fromkeys(known.name for known in FORMATS))
        raise InputError(f"{path} is no sorting that Lussac knows. Give one of these: {known}.")
    return found


def _starts_with(path: Path, *beginnings: bytes) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(64).lstrip().startswith(beginnings)


def _holds(*names: str) -> Callable[[Path], bool]:
    """Return the test for a folder with these entries."""
    return lambda path: all((path / name).exists() for name in names)


def _json(path: Path) -> Any:  # noqa: ANN401 (JSON holds anything)
    return json.loads(path.read_text(encoding="utf-8"))


def _array(file: Path) -> NDArray[Any]:
    """Read a .npy file; one that holds Python objects through the unpickler that runs nothing."""
    with file.open("rb") as stream:
        version = np.lib.format.read_magic(stream)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = header(stream)
        if dtype.hasobject:
            return np.asarray(plainpickle.load(stream, str(file)), dtype=object).reshape(shape)
    return np.asarray(np.load(file, allow_pickle=False))


def _spikes(samples: NDArray[Any], units: NDArray[Any], segments: NDArray[Any] | int) -> NDArray[Any]:
    spikes = np.empty(len(samples), dtype=minimum_spike_dtype)
    spikes["sample_index"], spikes["unit_index"], spikes["segment_index"] = samples, units, segments
    return spikes


# ---- folders and files of SpikeInterface


def _read_numpy_folder(folder: Path) -> BaseSorting:
    info = _json(folder / NUMPY_INFO)
    values = {file.stem: _array(file) for file in sorted((folder / "properties").glob("*.npy"))}
    spikes = np.load(folder / SPIKES, allow_pickle=False)
    return sortings.build(spikes, info["unit_ids"], info["sampling_frequency"], info["num_segments"], values)


def _read_npz_folder(folder: Path) -> BaseSorting:
    sorting = _read_npz(folder / NPZ_FILE)
    for file in sorted((folder / "properties").glob("*.npy")):
        sorting.set_property(file.stem, _array(file))
    return sorting


def _read_npz(file: Path) -> BaseSorting:
    with np.load(file, allow_pickle=False) as data:
        ids, segments = data["unit_ids"], int(data["num_segment"][0])
        order = np.argsort(ids, kind="stable")
        parts = [
            _spikes(
                data[f"spike_indexes_seg{index}"],
                order[np.searchsorted(ids[order], data[f"spike_labels_seg{index}"])],
                index,
            )
            for index in range(segments)
        ]
        rate = float(data["sampling_frequency"][0])
    return sortings.build(np.concatenate([*parts, np.empty(0, dtype=minimum_spike_dtype)]), ids.tolist(), rate, segments)


def _read_zarr(folder: Path, group: str | None = None) -> BaseSorting:
    """Read a sorting from a zarr folder, unless one of its arrays is pickled."""
    prefix = f"{group}/" if group else ""
    arrays = {str(file.relative_to(folder)): _json(file) for file in folder.rglob(".zarray")}
    if (folder / ".zmetadata").is_file():
        arrays |= {f"all/{name}": array for name, array in _json(folder / ".zmetadata")["metadata"].items()}
    for name, array in arrays.items():
        codecs = [codec for codec in (array.get("compressor"), *(array.get("filters") or ())) if codec]
        if name.removeprefix("all/").startswith(prefix) and any(codec.get("id") == "pickle" for codec in codecs):
            raise InputError(
                f"{folder} is refused: its array {name} is pickled, and reading it could run code. "
                "Save the sorting again without properties that are Python objects."
            )
    return ZarrSortingExtractor(folder, zarr_group=group)


# ---- descriptions: an extractor's name and arguments, in json or pickle


def _read_json(file: Path) -> BaseSorting:
    return _from_description(_json(file), file, file.parent)


def _read_pickle(file: Path) -> BaseSorting:
    with file.open("rb") as stream:
        return _from_description(plainpickle.load(stream, str(file)), file, file.parent)


def _described_in(name: str) -> Callable[[Path], BaseSorting]:
    return lambda folder: load_analysis(folder / name)


def _from_description(description: object, file: Path, base: Path) -> BaseSorting:
    """Build the sorting that a description names; relative paths start at `base`.

    Only the sortings of SpikeInterface can be built, by our own readers where SpikeInterface's would run code.
    """
    if not isinstance(description, Mapping) or "class" not in description or "kwargs" not in description:
        raise InputError(f"{file} doesn't describe a sorting of SpikeInterface. Write it with sorting.dump_to_json(...).")
    name = str(description["class"])
    short = name.rpartition(".")[2]
    arguments = {key: _nested(value, file, base) for key, value in absolute_paths(description["kwargs"], base).items()}
    sorting = _OWN_READERS[short](arguments) if short in _OWN_READERS else _extractor_class(name, file)(**arguments)
    for key, values in (description.get("properties") or {}).items():
        if values is not None:
            sorting.set_property(key, np.asarray(values))
    return sorting


def _nested(value: object, file: Path, base: Path) -> object:
    if isinstance(value, Mapping) and {"class", "kwargs"} <= set(value):
        return _from_description(value, file, base)
    if isinstance(value, list):
        return [_nested(inner, file, base) for inner in value]
    return {key: _nested(inner, file, base) for key, inner in value.items()} if isinstance(value, Mapping) else value


def _extractor_class(name: str, file: Path) -> Callable[..., BaseSorting]:
    module, _, short = name.rpartition(".")
    if not module.startswith("spikeinterface.") or short in RUN_CODE:
        reason = "its reader would run code that lies in the files" if short in RUN_CODE else "it is none of SpikeInterface's"
        raise InputError(
            f"{file} is refused: it wants to build {name}, but {reason}. Save the sorting with sorting.save(folder=...)."
        )
    try:
        found = getattr(importlib.import_module(module), short)
    except (ImportError, AttributeError) as error:
        raise InputError(f"{file} names {name}, which this SpikeInterface doesn't have. Save it with a newer version.") from error
    if not (isinstance(found, type) and issubclass(found, BaseSorting)):
        raise InputError(f"{file} describes a {short}, not a sorting. Give the file of the sorting.")
    return found


# ---- Phy


def _read_phy(folder: Path, *, good_only: bool = False, exclude: Sequence[str] = ()) -> BaseSorting:
    """Read a folder of Phy or Kilosort: a unit for each cluster that has spikes.

    SpikeInterface's reader runs params.py as Python, and leaves out the clusters that a table doesn't mention.
    """
    labels = next(folder / name for name in ("spike_clusters.npy", "spike_templates.npy") if (folder / name).is_file())
    times, clusters = _array(folder / TIMES).ravel(), _array(labels).ravel()
    if len(times) != len(clusters):
        raise InputError(f"{folder} is damaged: {len(times)} spike times, but {len(clusters)} clusters. Export it again.")
    ids, index = np.unique(clusters.astype(np.int64), return_inverse=True)
    columns = _phy_columns(folder, ids.tolist())
    names = columns.pop("si_unit_id", None)
    complete = names is not None and len(set(names.tolist())) == len(ids) and not _has_gaps(names)
    unit_ids: list[UnitId] = names.tolist() if names is not None and complete else ids.tolist()
    values = {_PHY_NAMES.get(key, key): column for key, column in columns.items()}
    sorting = sortings.build(_spikes(times, index, 0), unit_ids, _phy_rate(folder / "params.py"), 1, values)
    kept = np.full(len(ids), fill_value=True)
    if good_only and "KSLabel" in values:
        kept &= values["KSLabel"] == "good"
    if exclude and "quality" in values:
        kept &= ~np.isin(values["quality"], list(exclude))
    return sortings.keep(sorting, [unit for unit, keep in zip(unit_ids, kept, strict=True) if keep])


def _phy_rate(params: Path) -> float:
    """Return the sampling rate from params.py, which is read as text."""
    found = re.search(r"^\s*sample_rate\s*=\s*([^#\s]+)", params.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
    if found is None:
        raise InputError(f"{params} doesn't say the sampling rate. Add a line like: sample_rate = 30000.0")
    return float(found[1])


def _phy_columns(folder: Path, clusters: list[int]) -> dict[str, NDArray[Any]]:
    """Return the columns of all tables of clusters; of cluster_info alone where there is one."""
    tables = sorted(file for file in folder.iterdir() if file.suffix in {".tsv", ".csv"})
    info = [file for file in tables if file.stem == "cluster_info"]
    columns: dict[str, NDArray[Any]] = {}
    for table in info or tables:
        for key, column in _phy_table(table, clusters).items():
            columns.setdefault(key, column)
    return {"cluster_id": np.array(clusters, dtype=np.int64), **columns}


def _phy_table(table: Path, clusters: list[int]) -> dict[str, NDArray[Any]]:
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t" if table.suffix == ".tsv" else ","))
    key = next((name for name in ("cluster_id", "id") if rows and name in rows[0]), None)
    if key is None:
        return {}
    by_cluster = {row[key]: row for row in rows}
    names = [name for name in rows[0] if name and name != key]
    return {name: _column(name, [(by_cluster.get(str(c), {}).get(name) or "") for c in clusters]) for name in names}


def _column(name: str, texts: list[str]) -> NDArray[Any]:
    """Return whole numbers, numbers (NaN where a cell is empty) or texts, whichever fits all."""
    if name not in _PHY_TEXTS and any(texts):
        for dtype, values in ((np.int64, texts), (np.float64, [text or "nan" for text in texts])):
            try:
                return np.array(values).astype(dtype)
            except ValueError:
                continue
    return np.array(texts, dtype=str)


def _has_gaps(column: NDArray[Any]) -> bool:
    return column.dtype.kind == "f" or (column.dtype.kind == "U" and "" in column)


# ---- what sorters leave


def _read_sorter_folder(folder: Path) -> BaseSorting:
    """Read the folder that SpikeInterface's run_sorter left."""
    log = _json(folder / SORTER_LOG)
    name = log.get("sorter_name", "")
    if log.get("error"):
        raise InputError(f"The sorter {name} failed in {folder}, so that there is no sorting. Run it again.")
    inner = folder / "sorter_output" if (folder / "sorter_output").is_dir() else folder
    if _holds(*PHY)(inner):
        file = folder / "spikeinterface_params.json"
        params = _json(file).get("sorter_params", {}) if file.is_file() else {}
        return _read_phy(inner, good_only=bool(params.get("keep_good_only")))
    found = next((known for known in FORMATS if known.read is not _read_sorter_folder and known.matches(inner)), None)
    return found.read(inner) if found else _read_by_sorter(name, inner)


def _read_by_sorter(name: str, folder: Path) -> BaseSorting:
    """Read what a sorter wrote in a format of its own, as SpikeInterface's wrapper of that sorter does."""
    from spikeinterface.sorters import sorter_dict  # noqa: PLC0415 (takes half a second, and few need it)

    if name not in sorter_dict or name in RUN_CODE_SORTERS:
        raise InputError(
            f"What the sorter {name!r} left in {folder} can't be read. Export its sorting to Phy or with sorting.save()."
        )
    return sorter_dict[name]._get_result_from_folder(folder)  # noqa: SLF001 (the public one unpickles the recording)


_OWN_READERS: Mapping[str, Callable[[Mapping[str, Any]], BaseSorting]] = {
    "KiloSortSortingExtractor": lambda given: _read_phy(Path(given["folder_path"]), good_only=given.get("keep_good_only", True)),
    "NpzFolderSorting": lambda given: _read_npz_folder(Path(given["folder_path"])),
    "NpzSortingExtractor": lambda given: _read_npz(Path(given["file_path"])),
    "NumpyFolderSorting": lambda given: _read_numpy_folder(Path(given["folder_path"])),
    "PhySortingExtractor": lambda given: _read_phy(
        Path(given["folder_path"]), exclude=np.atleast_1d(given.get("exclude_cluster_groups") or []).tolist()
    ),
    "ZarrSortingExtractor": lambda given: _read_zarr(Path(given["folder_path"]), given.get("zarr_group")),
}

FORMATS = (
    Format("Lussac sorter's folder", _holds(SORTER_MANIFEST), lambda path: sortings.load(path / "sorting")),
    Format("Lussac sorting", _holds(sortings.UNITS_FILE, SPIKES), sortings.load),
    Format("SpikeInterface sorter's folder", _holds(SORTER_LOG), _read_sorter_folder),
    Format("SpikeInterface analyzer", _holds(f"sorting/{NUMPY_INFO}"), lambda path: _read_numpy_folder(path / "sorting")),
    Format("SpikeInterface analyzer", _holds(".zgroup", "sorting/unit_ids"), lambda path: _read_zarr(path, "sorting")),
    Format("SpikeInterface zarr folder", _holds(".zgroup", "unit_ids"), _read_zarr),
    Format("SpikeInterface folder", _holds(NUMPY_INFO), _read_numpy_folder),
    Format("SpikeInterface folder", _holds(NPZ_INFO, NPZ_FILE), _read_npz_folder),
    *(Format("SpikeInterface folder", _holds(name), _described_in(name)) for name in DESCRIPTIONS),
    Format("Phy folder", _holds(*PHY), _read_phy),
    Format("MountainSort folder", _holds("firings.npz"), lambda path: _read_npz(path / "firings.npz")),
    Format("SpikeInterface npz file", lambda path: _starts_with(path, b"PK"), _read_npz),
    Format("pickle file", lambda path: _starts_with(path, b"\x80"), _read_pickle),
    Format("SpikeInterface json file", lambda path: _starts_with(path, b"{"), _read_json),
)
"""In the order in which they are tried."""
