"""Lay another tool's load over a kept run, and judge it again: for files that are there only after the run.

  lameduck prove --no-load --local --service-port 8080 -- python app.py       watches; send your load to that port
  lameduck attach jmeter:results.jtl                                          into the last run

KIND is jmeter, k6, vegeta, fortio, envoy, nginx or traefik (accesslog:nginx:FILE works too). The requests take
the place of any that the run holds; RUN is a path, a name that 'lameduck runs' lists, or 'last'.

exit codes: 0 proven, 1 failed, 2 usage (a file that cannot be read, or of another time), 3 inconclusive
"""

from __future__ import annotations

import argparse
from pathlib import Path

from lameduck.core.errors import UsageError


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("what", metavar="KIND:FILE", help="what the other tool wrote")
    parser.add_argument("which", nargs="?", default="last", metavar="RUN", help="path, name or 'last' (last)")
    parser.add_argument("--qps", type=float, default=0.0, metavar="N", help="the rate that the load promises to hold")
    parser.add_argument("--json", metavar="FILE", help="write the proof as JSON; - is standard output")


def run(arguments: argparse.Namespace) -> int:
    """Attach, judge, print."""
    from lameduck.cli.bring import kind_and_file
    from lameduck.cli.prove import exit_code, show
    from lameduck.cli.stored import find_run, load
    from lameduck.load.foreign import Import, laid_over
    from lameduck.runfile import RunWriter, read

    kind, file = kind_and_file(arguments.what)
    if file is None:
        raise UsageError(f"which file? lameduck attach {kind}:FILE")
    folder = find_run(arguments.which)
    kept = read(folder).run
    if len(kept.recording) and kept.foreign is None:
        raise UsageError(f"{folder} holds lameduck's own load; a load is imported into a run made with --no-load")
    recording, foreign = laid_over(
        Import(kind, file, rate=arguments.qps), kept.load_started, kept.load_ended, kept.wall_anchor
    )
    database = folder / "run.db" if folder.is_dir() else folder
    RunWriter(Path(database), recording, {"foreign": foreign.as_dict()}, anew=True).close(complete=kept.complete)
    _, judgement = load(str(folder))
    show(judgement.proof, arguments)
    return exit_code(judgement.proof, 0)
