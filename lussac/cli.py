"""The command line. Only the standard library is imported before a command is chosen."""

import argparse
import contextlib
import ctypes
import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from lussac import __version__
from lussac.errors import INTERRUPTED, InterruptedRunError, LussacError

FAULT_EXIT_CODE = 1
MALLOC_OPTIONS = {
    "MALLOC_ARENA_MAX": (-8, 1),
    "MALLOC_MMAP_THRESHOLD_": (-3, 1 << 25),
    "MALLOC_TRIM_THRESHOLD_": (-1, 1 << 27),
}
"""Environment variables of glibc, the number of each option in its malloc.h, and our values."""
COMMANDS = ("run", "check", "init", "images", "doctor", "verify", "report", "compare", "demo", "schema")
ENGINES = ("auto", "local", "docker", "singularity", "apptainer")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and not words[0].startswith("-") and words[0] not in COMMANDS:
        words.insert(0, "run")
    parser = _parser()
    chosen = parser.parse_args(words)
    if chosen.command is None:
        parser.print_help()
        return 2
    use_memory_again()
    return _guarded(chosen)


def use_memory_again() -> None:
    """Let this process use memory that it has given back before it asks for more; variables of the environment go first.

    Otherwise each thread keeps what it once needed, and chunks of traces go back to the system one by one: when the next one
    comes, the system clears its pages anew, which takes half the time of a filter. Only glibc (Linux) can be told so.
    """
    with contextlib.suppress(AttributeError, OSError):
        libc = ctypes.CDLL(None)
        for variable, option in MALLOC_OPTIONS.items():
            if variable not in os.environ:
                libc.mallopt(*option)


def _guarded(chosen: argparse.Namespace) -> int:
    """Run a command and explain how it went wrong, if it did."""
    try:
        return int(importlib.import_module(f"lussac.commands.{chosen.command}").main(chosen))
    except LussacError as error:
        _show_error(str(error), error.exit_code)
        return error.exit_code
    except KeyboardInterrupt:
        _show_error(INTERRUPTED, InterruptedRunError.exit_code)
        return InterruptedRunError.exit_code
    except Exception:  # noqa: BLE001 - whatever it is, it is our fault and has to be told
        text = "".join(traceback.format_exc())
        advice = "This is a fault in Lussac. Please report it with the lines above and lussac.log of the logs folder."
        _show_error(f"{text}\n{advice}", FAULT_EXIT_CODE)
        return FAULT_EXIT_CODE


def _show_error(message: str, exit_code: int) -> None:
    from lussac.console import show_error  # noqa: PLC0415

    show_error(message, exit_code)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lussac",
        description="Takes a recording, several spike sorters or their results to one merged and checked sorting.",
        epilog="`lussac params.json` is the same as `lussac run params.json`. "
        "Exit codes: 0 done, 2 wrong params or command line, 3 a sorter failed, 4 a module failed, "
        "5 not reproducible, 130 interrupted.",
    )
    parser.add_argument("--version", action="version", version=f"lussac {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    run = commands.add_parser("run", help="run the pipeline of a params.json, or go on where it stopped")
    run.add_argument("params", type=Path, help="the params.json")
    check = commands.add_parser("check", help="validate a params.json and print the plan; run and write nothing")
    check.add_argument("params", type=Path, help="the params.json")
    init = commands.add_parser("init", help="write a commented params.json to start from")
    init.add_argument("example", nargs="?", help="which example; without it, they are listed")
    init.add_argument("params", type=Path, nargs="?", default=Path("params.json"), help="the file to write (%(default)s)")
    images = commands.add_parser("images", help="list, pull, pin, check or build the images of sorters")
    images.add_argument("action", choices=("list", "pull", "lock", "verify", "build"))
    images.add_argument("names", nargs="*", help="sorters (pull, build) or the params.json (lock, verify)")
    images.add_argument("--engine", choices=ENGINES, help="docker or singularity; the first that works by default")
    _add_build_options(images.add_argument_group("build", "each is also read from the variable of its name, like BASE_IMAGE"))
    doctor = commands.add_parser("doctor", help="say what of this machine sorters can run on, and the fix for what is missing")
    doctor.add_argument("folder", type=Path, nargs="?", default=Path(), help="where results are to go (this folder)")
    verify = commands.add_parser("verify", help="check that a run is as recorded and can be repeated, or how two runs differ")
    verify.add_argument("logs", type=Path, help="the logs_folder of a run: what it read and wrote is compared with its record")
    verify.add_argument("other", type=Path, nargs="?", help="that of another run: name the first stage that differs, and why")
    verify.add_argument("--rerun", action="store_true", help="run the same again, aside, in the same images, and compare")
    verify.add_argument("--into", type=Path, metavar="FOLDER", help="--rerun, and keep the new run in this folder")
    report = commands.add_parser("report", help="write what a run did as one HTML page")
    report.add_argument("logs", type=Path, help="the logs_folder of a run")
    report.add_argument("-o", "--output", type=Path, help="the file to write (report.html in the logs_folder)")
    report.add_argument("--ro-crate", action="store_true", help="describe the logs folder as an RO-Crate instead")
    compare = commands.add_parser("compare", help="write two or more runs or sortings side by side as one HTML page")
    compare.add_argument(
        "runs", type=Path, nargs="+", metavar="RUN", help="the logs_folder of a run, or a sorting in any format of 'analyses'"
    )
    compare.add_argument("-o", "--output", type=Path, default=Path("compare.html"), help="the file to write (%(default)s)")
    compare.add_argument(
        "--window",
        type=_more_than_nothing,
        default=0.4,
        metavar="MS",
        help="how far apart two spikes may be to be one (%(default)s)",
    )
    compare.add_argument(
        "--min-agreement",
        type=_share,
        default=0.5,
        metavar="SHARE",
        help="spikes of both over spikes of either, from which on two units are one neuron (%(default)s)",
    )
    demo = commands.add_parser("demo", help="make a recording with known neurons, sort it with several sorters, merge, compare")
    demo.add_argument("folder", type=Path, nargs="?", default=Path("lussac_demo"), help="where to (%(default)s)")
    commands.add_parser("schema", help="print the JSON schema of params.json, for editors")
    for command in (run, verify, demo):
        _add_run_options(command)
    return parser


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-j", "--jobs", type=_positive, metavar="N", help="cores to use (n_jobs of the params)")
    parser.add_argument("--engine", choices=ENGINES, help="where sorters run; the first that can by default")
    parser.add_argument("--locked", action="store_true", help="refuse images that are not those of params.lock.json")
    parser.add_argument("--offline", action="store_true", help="never pull an image")
    parser.add_argument("--memory", type=_more_than_nothing, metavar="GB", help="memory that the sorters share (no limit)")
    parser.add_argument("--time-limit", type=_more_than_nothing, metavar="HOURS", help="for each sorter (no limit)")
    parser.add_argument("--allow-failed-sorters", action="store_true", help="go on with the sorters that finish")
    parser.add_argument("--keep-stale", action="store_true", help="keep sorter results that other parameters or data made")
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing but errors")


def _add_build_options(group: argparse._ArgumentGroup) -> None:
    given = os.environ.get
    wheels = given("WHEELS")
    group.add_argument("--base-image", default=given("BASE_IMAGE"), help="the image to build on; by digest for published ones")
    group.add_argument("--wheels", type=Path, default=Path(wheels) if wheels else None, help="a folder of wheels to try first")
    group.add_argument("--torch-index", default=given("TORCH_INDEX"), help="address of an index with torch for the CPU")
    group.add_argument(
        "--requirements",
        default=given("REQUIREMENTS", "requirements.txt"),
        help="another lock file of the recipe: requirements-cpu.txt for kilosort4 (%(default)s)",
    )


def _more_than_nothing(text: str) -> float:
    number = float(text)
    if not number > 0:
        raise argparse.ArgumentTypeError(f"{text} is not more than 0")
    return number


def _share(text: str) -> float:
    number = float(text)
    if not 0 < number <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not more than 0 and at most 1")
    return number


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return number
