"""The serving benchmark's figures, tables and requests; and, with wrk, a whole run with a tiny model."""

from __future__ import annotations

import json
import os
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.sections import markers
from benchmarks.serving.accounting import Memory, process_tree
from benchmarks.serving.contender import Skipped
from benchmarks.serving.launch import Launched
from benchmarks.serving.load import Load
from benchmarks.serving.machine import pinned, read_cpuinfo
from benchmarks.serving.measure import Cell, Outcome, Plan, Proof, Sample, compare
from benchmarks.serving.ours import cloud_answer
from benchmarks.serving.peer import FOLDER, PEERS, V2_HEADER_BYTES, Peer, plain_answer, v2_answer, v2_binary
from benchmarks.serving.photos import make_photos, parse_size
from benchmarks.serving.plot import throughput_plot
from benchmarks.serving.report import SECTION, Facts, markdown
from benchmarks.serving.summary import summarise

REPOSITORY = Path(__file__).parents[2]
CELL = Cell((640, 480), 8)
PLAN = Plan(((640, 480),), (8,), seconds=2, rounds=3)
TITLES = {"limit": "limit", "onsight": "Onsight", "slow": "Slow peer", "fast": "Fast peer"}


def sample(name: str, round_: int, per_second: float, p50_ms: float | None = 5.0, errors: int = 0) -> Sample:
    load = Load(int(per_second * 2), 2.0, errors, p50_ms, p50_ms, p50_ms, p50_ms, p50_ms, client_cpu_s=0.1)
    return Sample(name, CELL, round_, load, cpu_ms=7.0, idle_cores=0.01, other_cores=0.5)


# the machine is half as fast in the second round, and nobody's fault
ROUNDS = [
    *(sample("limit", n, rate, None) for n, rate in enumerate((100, 50, 100))),
    *(sample("onsight", n, rate) for n, rate in enumerate((90, 45, 80))),
    *(sample("slow", n, rate) for n, rate in enumerate((40, 20, 40))),
    *(sample("fast", n, rate, errors=n) for n, rate in enumerate((60, 30, 80))),
]


def test_ratios_are_taken_within_a_round_so_that_a_slow_round_changes_none():
    rows = {row.contender: row for row in summarise(ROUNDS, "limit", ["slow", "fast"])}
    ours = rows["onsight"]
    assert ours.of_limit is not None
    assert (ours.of_limit.median, ours.of_limit.low, ours.of_limit.high) == (0.9, 0.8, 0.9)
    assert ours.per_second == 80
    assert rows["fast"].errors == 3


def test_the_best_peer_is_the_one_with_the_highest_median_and_never_ourselves():
    rows = {row.contender: row for row in summarise(ROUNDS, "limit", ["slow", "fast"])}
    assert rows["onsight"].of_best_peer is not None
    assert rows["onsight"].of_best_peer.median == 1.5
    assert rows["fast"].of_best_peer is not None
    assert rows["fast"].of_best_peer.median == 1.0


def test_without_limit_or_peers_there_is_no_ratio():
    (row,) = summarise([sample("onsight", 0, 10)], "limit", [])
    assert (row.of_limit, row.of_best_peer) == (None, None)


def test_a_round_that_only_one_of_both_saw_is_left_out_of_the_ratio():
    rows = summarise([*ROUNDS[:2], *ROUNDS[3:6]], "limit", [])
    assert [row.of_limit.median for row in rows if row.of_limit] == [1.0, 0.9]


def report() -> str:
    outcome = Outcome(
        {"onsight": Proof("limit", 3.0, 1e-6, Memory(100.0, 200.0, 300.0))}, ROUNDS, {"fast": "no | answer\nat all"}
    )
    facts = Facts("2026-01-02", "Model: m.", {"CPU": "c"}, TITLES, {"fast": "fast 1.0"}, {"640x480": 95.0})
    return markdown(outcome, summarise(ROUNDS, "limit", ["slow", "fast"]), PLAN, facts, "images/serving.svg")


def test_every_row_of_a_table_has_as_many_cells_as_its_head():
    tables = re.findall(r"(?:^\|.*\n)+", report() + "\n", re.MULTILINE)
    assert len(tables) == 2
    for table in tables:
        assert len({line.count("|") for line in table.splitlines()}) == 1, table


def test_the_report_names_who_was_skipped_and_why_in_one_line():
    assert "- Fast peer: no | answer at all" in report()


def test_a_limit_without_latency_leaves_its_cells_empty():
    line = next(line for line in report().splitlines() if "| limit |" in line)
    assert line.split("|")[6:9] == ["  ", "  ", "  "]


def test_the_plot_escapes_titles_and_holds_a_bar_for_every_row():
    rows = summarise(ROUNDS, "limit", ["slow", "fast"])
    svg = throughput_plot(rows, PLAN, {**TITLES, "fast": "a < b"}, ["slow", "fast"])
    assert "a &lt; b" in svg
    assert [svg.count(f'class="{name}"') for name in ("limit", "ours", "peer")] == [1, 1, 2]


def test_answers_that_differ_are_refused():
    assert compare([0.7, 0.3], [0.69, 0.31], 0.02) == pytest.approx(0.01)
    with pytest.raises(Skipped, match="differ"):
        compare([0.7, 0.3], [0.3, 0.7], 0.02)


def test_every_dialect_gives_probabilities_in_the_order_of_the_labels():
    labels = ["cat", "dog"]
    assert plain_answer(b"[0.9, 0.1]", labels) == plain_answer(b'{"probabilities": [0.9, 0.1]}', labels) == [0.9, 0.1]
    assert v2_answer(b'{"outputs": [{"data": [0.9, 0.1]}]}', labels) == [0.9, 0.1]
    assert cloud_answer(b'[{"label": "dog", "score": 75}, {"label": "cat", "score": 25}]', labels) == [0.25, 0.75]
    with pytest.raises(ValueError, match="expected 2"):
        plain_answer(b"[1.0]", labels)


def test_a_binary_request_says_how_long_its_tensor_is():
    body = v2_binary(b"photo")
    header, tensor = json.loads(body[:V2_HEADER_BYTES]), body[V2_HEADER_BYTES:]
    assert header["inputs"][0]["parameters"]["binary_data_size"] == len(tensor)
    assert tensor == struct.pack("<I", 5) + b"photo"


def test_peers_decode_and_infer_with_the_versions_that_we_do():
    shared = re.compile(r"^(?:onnxruntime|pillow|simplejpeg)==.*$", re.MULTILINE | re.IGNORECASE)
    ours = sorted(line.lower() for line in shared.findall((REPOSITORY / "constraints.txt").read_text()))
    assert len(ours) == 3
    for name in PEERS:
        pins = (FOLDER / f"{name}.txt").read_text()
        assert sorted(line.lower() for line in shared.findall(pins)) == ours, name
        assert all("==" in line for line in pins.splitlines()), name
        assert pinned(FOLDER / f"{name}.txt").count("onnxruntime") == 1


def test_an_unknown_variant_of_a_peer_is_refused():
    with pytest.raises(ValueError, match="fastapi:thread"):
        Peer("fastapi:fastest")


def test_the_processor_is_told_by_name_and_number():
    first = "processor\t: 0\ncpu family\t: 6\nmodel\t\t: 143\nmodel name\t: Some CPU\nflags\t\t: sse avx512_vnni\n"
    name, flags = read_cpuinfo(f"{first}\nprocessor\t: 1\nmodel\t\t: 1\n")
    assert name == "Some CPU (family 6, model 143)"
    assert "avx512_vnni" in flags


def test_photos_have_the_wanted_size_and_are_the_same_every_time():
    assert parse_size("64x48") == (64, 48)
    photos = make_photos((64, 48), [], count=2)
    assert photos == make_photos((64, 48), [], count=2)
    assert photos[0] != photos[1]


def test_nothing_of_a_stopped_program_is_left(tmp_path):
    log = tmp_path / "log.txt"
    script = "trap '' TERM; sleep 600 & echo started; wait"  # the child does not hear of its parent's end
    program = Launched(["sh", "-c", script], os.environ, tmp_path, log)
    program.wait_until(lambda: log.read_text() == "started\n" and len(process_tree(program.pid)) == 2, 30)
    members = process_tree(program.pid)
    program.stop(within_s=0.1)
    assert len(members) == 2
    assert not any((Path("/proc") / str(pid) / "exe").exists() for pid in members)


def test_a_program_that_ends_too_soon_is_reported_with_its_last_words(tmp_path):
    program = Launched(["sh", "-c", "echo no such model; exit 3"], os.environ, tmp_path, tmp_path / "log.txt")
    with pytest.raises(RuntimeError, match="exit code 3: no such model"):
        program.wait_until(lambda: False, 30)
    program.stop()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
def test_a_quick_run_measures_the_limit_and_a_real_server(tmp_path):
    out, results = tmp_path / "raw.json", tmp_path / "RESULTS.md"
    command = [sys.executable, "-m", "benchmarks.serving", "--quick", "--out", str(out), "--results", str(results)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    raw = json.loads(out.read_text())
    assert raw["skipped"] == {}
    assert {sample["contender"] for sample in raw["samples"]} == {"limit", "limit-scaled", "onsight"}
    assert all(sample["load"]["requests"] > 0 and sample["load"]["errors"] == 0 for sample in raw["samples"])
    assert all(proof["memory"]["pss"] > 10 for proof in raw["proofs"].values())
    assert results.read_text().startswith(markers(SECTION)[0])
    assert (tmp_path / "images" / "serving.svg").is_file()
