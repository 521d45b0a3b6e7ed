"""Onsight beside other inference servers, and beside no server at all: throughput, latency, CPU time, memory.

Every contender serves the same ONNX file for the same photos to the same client (wrk); its answers are compared with
those of plain decoding and inference before anything is measured, and all are measured in turn, round by round. Peers
are installed from PyPI into environments of their own on first use. A contender that cannot take part is told with
the reason. Figures go to stdout, into a section of benchmarks/RESULTS.md with a plot, and with --out as raw JSON.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.sections import RESULTS, replace_section
from benchmarks.serving.contender import Contender, Setup
from benchmarks.serving.limit import LIMIT, Limit
from benchmarks.serving.load import LoadError, require_wrk
from benchmarks.serving.machine import machine_facts, pinned
from benchmarks.serving.measure import Outcome, Plan, measure
from benchmarks.serving.model import open_model, train_on_trashnet, train_tiny
from benchmarks.serving.ours import Onsight
from benchmarks.serving.peer import FOLDER, PEERS, Peer
from benchmarks.serving.photos import Size, make_photos, parse_size
from benchmarks.serving.plot import throughput_plot
from benchmarks.serving.report import SECTION, Facts, markdown
from benchmarks.serving.summary import summarise
from benchmarks.shared_data import require_data, unpack_trashnet
from bundle.cores import usable_cores

LIMITS = (Limit(), Limit(scaled=True))
OURS = (Onsight("onsight", "Onsight, fp32", "fp32"), Onsight("onsight-int8", "Onsight, int8", "int8"))
DEFAULT = (*(contender.name for contender in (*LIMITS, *OURS)), *PEERS)
SMOKE = ("limit", "limit-scaled", "onsight")
START_S, SAMPLE_OVERHEAD_S = 12.0, 0.55  # for the estimate


def main() -> None:
    chosen = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))  # through `finally`: no server stays behind
    try:
        require_wrk()
    except LoadError as error:
        sys.exit(str(error))
    plan = Plan(chosen.sizes, chosen.concurrency, chosen.seconds, chosen.rounds, chosen.seed)
    contenders = [make_contender(name) for name in chosen.contenders]
    samples = len(contenders) * len(plan.cells) * plan.rounds
    estimate_s = len(contenders) * START_S + samples * (plan.seconds + SAMPLE_OVERHEAD_S)
    print(f"about {estimate_s / 60:.0f} minutes, and longer where peers are installed first", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="onsight-benchmark-") as name:
        setup, facts = set_up(chosen, contenders, Path(name))
        outcome = measure(contenders, LIMITS, setup, plan)
    publish(outcome, plan, facts, contenders, chosen)


def set_up(chosen: argparse.Namespace, contenders: list[Contender], work: Path) -> tuple[Setup, Facts]:
    photographs: list[Path] = []
    if chosen.quick:
        bundle, home = train_tiny(work)
    else:
        require_data()
        photographs = sorted(unpack_trashnet(work).glob("*/*.jpg"))
        bundle, home = (chosen.bundle, chosen.home) if chosen.bundle else train_on_trashnet(chosen.cache, work)
    model = open_model(bundle, home, work)
    folders: dict[Size, Path] = {}
    kilobytes = {}
    for size in chosen.sizes:
        photos = make_photos(size, photographs)
        folders[size] = work / "photos" / f"{size[0]}x{size[1]}"
        folders[size].mkdir(parents=True)
        for number, photo in enumerate(photos):
            (folders[size] / str(number)).write_bytes(photo)
        kilobytes[f"{size[0]}x{size[1]}"] = sum(map(len, photos)) / len(photos) / 1000
    manifest = model.manifest
    backbone = f"{manifest.backbone.name}, {model.size[1]} x {model.size[0]} pixels, {len(manifest.labels)} labels"
    facts = Facts(
        datetime.now(UTC).date().isoformat(),
        f"Model: {backbone}.",
        machine_facts(),
        {contender.name: contender.title for contender in contenders},
        {name: pinned(FOLDER / f"{name.partition(':')[0]}.txt") for name in chosen.contenders if is_peer(name)},
        kilobytes,
    )
    return Setup(model, folders, work, chosen.cache, usable_cores()), facts


def publish(
    outcome: Outcome, plan: Plan, facts: Facts, contenders: list[Contender], chosen: argparse.Namespace
) -> None:
    order = {contender.name: place for place, contender in enumerate(contenders)}
    outcome.samples.sort(key=lambda each: (plan.cells.index(each.cell), order[each.contender], each.round))
    peers = [contender.name for contender in contenders if contender.is_peer]
    rows = summarise(outcome.samples, LIMIT, peers)
    if chosen.out:
        document = {"facts": asdict(facts), "plan": asdict(plan), **asdict(outcome), "rows": [asdict(r) for r in rows]}
        chosen.out.write_text(json.dumps(document, indent=1) + "\n")
    print(markdown(outcome, rows, plan, facts, None))
    if chosen.results:
        plot = chosen.results.parent / "images" / "serving.svg"
        plot.parent.mkdir(parents=True, exist_ok=True)
        plot.write_text(throughput_plot(rows, plan, facts.titles, peers) + "\n")
        section = markdown(outcome, rows, plan, facts, "images/serving.svg")
        old = chosen.results.read_text() if chosen.results.is_file() else ""
        chosen.results.write_text(replace_section(old, SECTION, section))
        print(f"written to {chosen.results} and {plot}", file=sys.stderr)


def make_contender(name: str) -> Contender:
    """Raises ValueError for a name that there is not."""
    if is_peer(name):
        return Peer(name)
    for contender in (*LIMITS, *OURS):
        if contender.name == name:
            return contender
    raise ValueError(f"{name}: expected one of {', '.join(DEFAULT)}, or a peer's variant such as fastapi:thread")


def is_peer(name: str) -> bool:
    return name.partition(":")[0] in PEERS


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.serving", description=__doc__)
    parser.add_argument("--contenders", type=_names, metavar="NAME,...", help=f"default: {','.join(DEFAULT)}")
    parser.add_argument("--sizes", type=_sizes, metavar="WxH,...", help="default: 640x480,1920x1080")
    parser.add_argument("--concurrency", type=_numbers, metavar="N,...", help="requests at once; default: 1,8,32")
    parser.add_argument("--seconds", type=int, help="of each sample, whole; default: 3")
    parser.add_argument("--rounds", type=int, help="default: 5")
    parser.add_argument("--seed", type=int, default=0, help="of the order of contenders")
    parser.add_argument("--bundle", type=Path, help="default: one trained on TrashNet, made on first use")
    parser.add_argument("--home", type=Path, help="an install that trusts the bundle; needed with --bundle")
    parser.add_argument(
        "--cache", type=Path, default=Path("~/.cache/onsight-benchmarks"), help="for peers and the model; %(default)s"
    )
    parser.add_argument("--out", type=Path, help="write every sample as JSON")
    parser.add_argument("--results", type=Path, help=f"Markdown file with the section; default: {RESULTS.name} here")
    parser.add_argument("--no-results", action="store_true", help="print alone")
    parser.add_argument("--quick", action="store_true", help="a smoke run: tiny model, no peers, nothing written")
    chosen = parser.parse_args()
    quick = chosen.quick
    chosen.contenders = chosen.contenders or (SMOKE if quick else DEFAULT)
    chosen.sizes = chosen.sizes or (((640, 480),) if quick else ((640, 480), (1920, 1080)))
    chosen.concurrency = chosen.concurrency or ((1, 4) if quick else (1, 8, 32))
    chosen.seconds = chosen.seconds or (1 if quick else 3)
    chosen.rounds = chosen.rounds or (1 if quick else 5)
    chosen.results = None if chosen.no_results else chosen.results or (None if quick else RESULTS)
    chosen.cache = chosen.cache.expanduser()
    if bool(chosen.bundle) is not bool(chosen.home):
        parser.error("--bundle and --home: expected both or neither")
    return chosen


def _names(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(text.split(",")))
    for name in names:
        try:
            make_contender(name)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error
    return names


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def _sizes(text: str) -> tuple[Size, ...]:
    return tuple(parse_size(part) for part in text.split(","))


if __name__ == "__main__":
    main()
