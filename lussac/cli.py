"""The command line."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lussac import __version__
from lussac.errors import InterruptedRunError, LussacError, ReproducibilityError, UsageError

if TYPE_CHECKING:
    from lussac.pipeline import Options

FAULT_EXIT_CODE = 1
EXAMPLES = Path(__file__).parent / "params_examples"
ENGINES = ("auto", "local", "docker", "singularity")


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
    return _guarded(chosen)


def _guarded(chosen: argparse.Namespace) -> int:
    """Run a command and explain how it went wrong, if it did."""
    try:
        return COMMANDS[chosen.command](chosen)
    except LussacError as error:
        _show_error(str(error), error.exit_code)
        return error.exit_code
    except KeyboardInterrupt:
        message = "Interrupted. What was finished is kept: the same command goes on from there."
        _show_error(message, InterruptedRunError.exit_code)
        return InterruptedRunError.exit_code
    except Exception:  # noqa: BLE001 - whatever it is, it is our fault and has to be told
        import traceback  # noqa: PLC0415

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
    _add_run_options(run)
    check = commands.add_parser("check", help="validate a params.json and print the plan; run and write nothing")
    check.add_argument("params", type=Path, help="the params.json")
    init = commands.add_parser("init", help="write a commented params.json to start from")
    init.add_argument("example", nargs="?", help="which example; without it, they are listed")
    init.add_argument("params", type=Path, nargs="?", default=Path("params.json"), help="the file to write (%(default)s)")
    verify = commands.add_parser("verify", help="compare a logs folder, its inputs and its exports with what its record says")
    verify.add_argument("logs", type=Path, help="the logs_folder of a run")
    verify.add_argument("--rerun", action="store_true", help="run the modules again, aside, and compare what they give")
    _add_run_options(verify)
    commands.add_parser("schema", help="print the JSON schema of params.json, for editors")
    demo = commands.add_parser(
        "demo", help="make a recording whose neurons are known, sort it with several sorters, merge, compare"
    )
    demo.add_argument("folder", type=Path, nargs="?", default=Path("lussac_demo"), help="where to (%(default)s)")
    _add_run_options(demo)
    return parser


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-j", "--jobs", type=_positive, metavar="N", help="cores to use (n_jobs of the params)")
    parser.add_argument("--engine", choices=ENGINES, help="where sorters run; the first that can by default")
    parser.add_argument("--allow-failed-sorters", action="store_true", help="go on with the sorters that finish")
    parser.add_argument("--keep-stale", action="store_true", help="keep sorter results that other parameters or data made")
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing but errors")


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return number


def _options(chosen: argparse.Namespace) -> "Options":
    from lussac.pipeline import Options  # noqa: PLC0415

    return Options(
        jobs=chosen.jobs,
        engine=chosen.engine,
        allow_failed_sorters=chosen.allow_failed_sorters,
        keep_stale=chosen.keep_stale,
    )


def run_command(chosen: argparse.Namespace) -> int:
    """``lussac run``."""
    from lussac import params  # noqa: PLC0415
    from lussac.console import run_and_show  # noqa: PLC0415
    from lussac.plan import compile_plan  # noqa: PLC0415

    run_and_show(compile_plan(params.read(chosen.params)), _options(chosen), quiet=chosen.quiet)
    return 0


def check_command(chosen: argparse.Namespace) -> int:
    """``lussac check``."""
    from lussac import params  # noqa: PLC0415
    from lussac.console import check_and_show  # noqa: PLC0415
    from lussac.plan import compile_plan  # noqa: PLC0415

    check_and_show(compile_plan(params.read(chosen.params)))
    return 0


def init_command(chosen: argparse.Namespace) -> int:
    """``lussac init``."""
    from lussac.console import make_console  # noqa: PLC0415

    console = make_console()
    examples = {file.stem.removeprefix("params_"): file for file in sorted(EXAMPLES.glob("*.json"))}
    if chosen.example is None:
        console.print("\n".join(examples))
        return 0
    if chosen.example not in examples:
        raise UsageError(f"There is no example {chosen.example!r}. Choose one of {', '.join(examples)}.")
    try:
        with chosen.params.open("x", encoding="utf-8") as stream:
            stream.write(examples[chosen.example].read_text(encoding="utf-8"))
    except FileExistsError as error:
        raise UsageError(f"{chosen.params} exists already and is left as it is. Give the name of a new file.") from error
    except OSError as error:
        raise UsageError(f"{chosen.params} can't be written: {error.strerror}. Give a file in a folder that exists.") from error
    console.print(f"{chosen.params}: adapt the section 'recording', then run: lussac {chosen.params}", soft_wrap=True)
    return 0


def verify_command(chosen: argparse.Namespace) -> int:
    """``lussac verify``."""
    from lussac.console import verify_and_show  # noqa: PLC0415

    differences = verify_and_show(chosen.logs, _options(chosen), again=chosen.rerun, quiet=chosen.quiet)
    if differences:
        raise ReproducibilityError("\n".join([*differences, f"{chosen.logs} is not what its record says."]))
    return 0


def schema_command(chosen: argparse.Namespace) -> int:  # noqa: ARG001
    """``lussac schema``."""
    from lussac.console import make_console  # noqa: PLC0415
    from lussac.schema import schema  # noqa: PLC0415

    make_console().print(json.dumps(schema(), indent=1), markup=False, soft_wrap=True)
    return 0


def demo_command(chosen: argparse.Namespace) -> int:
    """``lussac demo``."""
    from lussac import demo, params  # noqa: PLC0415
    from lussac.console import make_console, run_and_show, show_scores  # noqa: PLC0415
    from lussac.plan import compile_plan  # noqa: PLC0415

    console = make_console(quiet=chosen.quiet)
    console.print(f"{chosen.folder}: {demo.SECONDS:g} s of {demo.CHANNELS} channels and {demo.NEURONS} neurons", soft_wrap=True)
    file = demo.prepare(chosen.folder)
    result = run_and_show(compile_plan(params.read(file)), _options(chosen), quiet=chosen.quiet)
    found = {**result.analyses, **result.sortings}
    show_scores(demo.scores(chosen.folder, found), demo.NEURONS, console)
    console.print(f"Run it again, or change {file} and run: lussac {file}", soft_wrap=True)
    return 0


COMMANDS = {
    "run": run_command,
    "check": check_command,
    "init": init_command,
    "demo": demo_command,
    "verify": verify_command,
    "schema": schema_command,
}
