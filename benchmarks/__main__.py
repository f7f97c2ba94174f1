"""`python -m benchmarks`: measures, prints the table, and (a full run) writes it into docs/benchmarks.md.

Exit code 1 where a promised goal was missed or something could not be measured; then nothing incomplete is written.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

from benchmarks import durable, idle, machine, reading, relaying, relays, resuming, sockets, stall, starting, v1_readers
from benchmarks.bench import ROOT, Bench, Measurement
from benchmarks.figures import Figure, table
from benchmarks.report import today, write_between

PAGE = ROOT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- make bench: begin -->", "<!-- make bench: end -->"

MEASUREMENTS: dict[str, Measurement] = {
    "cpu": relaying.cpu_per_frame,
    "answer": relaying.cpu_per_answer,
    "latency": relaying.added_latency,
    "burst": relaying.burst,
    "memory": idle.idle_memory,
    "readers": sockets.slow_readers,
    "stall": stall.longest_stall,
    "pages": reading.pages_per_second,
    "first-page": reading.first_page,
    "start": starting.first_answer,
    "v1-latency": durable.added_latency,
    "v1-cpu": durable.cpu_per_frame,
    "v1-readers": v1_readers.slow_readers,
    "v1-memory": idle.idle_v1_memory,
    "v1-resume": resuming.old_cursor,
}


def main() -> int:
    chosen = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything started is stopped
    figures: list[Figure] = []
    failed: list[str] = []
    with tempfile.TemporaryDirectory(prefix="miva-bench-") as folder:
        bench = Bench(chosen.quick, Path(folder), _say, tuple(chosen.rivals))
        for name in chosen.only or MEASUREMENTS:
            started = time.monotonic()
            _say(f"{name} …")
            try:
                figures += MEASUREMENTS[name](bench)
            except Exception:  # the others are still worth their time
                traceback.print_exc()
                failed.append(name)
            _say(f"{name}: {time.monotonic() - started:.0f} s")
    print(table(figures))
    print(machine.description())
    if not (chosen.quick or chosen.only or chosen.rivals or failed):
        _write(figures)
        _say(f"Written to {PAGE.relative_to(ROOT)}.")
    missed = [
        f"{figure.what} ({figure.unit})" if figure.unit else figure.what for figure in figures if figure.is_missed
    ]
    for what in missed:
        _say(f"Missed: {what}")
    for name in failed:
        _say(f"Not measured: {name}")
    return 1 if missed or failed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measures the product beside others.")
    parser.add_argument("--quick", action="store_true", help="less of everything: for every day")
    parser.add_argument("--only", nargs="+", choices=list(MEASUREMENTS), metavar="NAME", help=", ".join(MEASUREMENTS))
    parser.add_argument(
        "--rivals",
        type=_names,
        default=(),
        metavar="NAME,NAME",
        help=f"only these relays in cpu, latency and burst: {','.join(relays.RIVALS)}",
    )
    return parser.parse_args()


def _names(text: str) -> list[str]:
    names = text.split(",")
    unknown = set(names) - relays.RIVALS.keys()
    if unknown:
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(sorted(unknown))}")
    return names


def _write(figures: list[Figure]) -> None:
    measured = f"Measured on {today()} by `make bench`. {machine.description()}"
    write_between(PAGE, BEGIN, END, f"{measured}\n\n{table(figures)}")


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
