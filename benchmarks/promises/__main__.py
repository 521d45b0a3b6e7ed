"""`python -m benchmarks.promises [NAME ...] [--full]`: measure what the server promises, or some of it.

Short counts by default; --full takes those of the promise and writes the figures into benchmarks/RESULTS.md. Exit code
1 where one does not hold.
"""

from __future__ import annotations

import argparse
import sys
import time

from benchmarks.promises import catalogue
from benchmarks.promises.promise import CannotBeMeasured, Outcome, Promise
from benchmarks.promises.record import record


def main() -> int:
    every = catalogue.PROMISES
    parser = argparse.ArgumentParser(prog="python -m benchmarks.promises", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(each.name for each in every)}")
    parser.add_argument("--full", action="store_true", help="the promise's own counts; writes benchmarks/RESULTS.md")
    options = parser.parse_args()
    unknown = set(options.names) - {each.name for each in every}
    if unknown:
        parser.error(f"expected names of {', '.join(each.name for each in every)}, found {', '.join(sorted(unknown))}")
    chosen = [each for each in every if not options.names or each.name in options.names]
    kept = True
    for promise in chosen:
        kept &= measure(promise, options.full)
    return 0 if kept else 1


def measure(promise: Promise, full: bool) -> bool:
    """Print the figure beside the promise; write it down where it is the full one. Whether it holds."""
    print(f"\n{promise.name}: {promise.text}", flush=True)
    began = time.monotonic()
    try:
        outcome: Outcome = promise.measure(full)
    except CannotBeMeasured as error:
        print(f"  not measured: {error}")
        return True
    note = " (times: measure again on a quiet machine)" if promise.quiet_machine and not outcome.kept else ""
    print(f"  {'kept' if outcome.kept else 'BROKEN'}: {outcome.figure}{note} [{time.monotonic() - began:.0f} s]")
    if full:
        record({promise: outcome}, catalogue.PROMISES)
    return outcome.kept


if __name__ == "__main__":
    sys.exit(main())
