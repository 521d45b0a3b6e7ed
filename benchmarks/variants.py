"""What each form of an export costs and loses: trains on TrashNet's official split and exports `cpu` and `all` forms.

Wall and CPU seconds are of the whole command, from a new process to the signed file; what a form loses is what its
certificate says of the held-out photos. Writes its section of RESULTS.md with --write.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.quality import train
from benchmarks.sections import RESULTS, replace_section
from benchmarks.shared_data import MOBILENET, require_data, trashnet_list, unpack_trashnet
from bundle.home import OnsightHome
from bundle.load import load_bundle
from bundle.manifest import Manifest
from bundle.trust import TrustStore

GOAL_S = 90


def export(home: OnsightHome, run: Path, out: Path, variants: str) -> tuple[float, float]:
    """Wall and CPU seconds of `onsight export`."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, "-m", "onsight.cli", "export", run, "--out", out, "--variants", variants]
    subprocess.run(command, check=True, env={**os.environ, "ONSIGHT_HOME": str(home.path)})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter() - began, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def table_of(manifest: Manifest) -> str:
    """Markdown: a row for each form that the bundle holds."""
    rows = [
        "| form | file | accuracy | points lost (95 % interval) | same answer | largest difference | answers flipped |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    sizes = {file.name: file.size for file in manifest.files}
    for variant in manifest.variants:
        size, found = f"{sizes[variant.file] / 1e6:.1f} MB", variant.certificate
        if found is None:
            rows.append(f"| {variant.name} | {size} | | | | | |")
            continue
        loss = found.loss
        lost = f"{loss.value * 100:.1f} ({loss.low * 100:.1f} to {loss.high * 100:.1f})"
        rows.append(
            f"| {variant.name} | {size} | {found.value:.3f} of {found.full:.3f} | {lost} | {found.agreement:.3f} |"
            f" {found.max_difference:.3f} | {found.decisions_flipped} of {found.images} |"
        )
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the section of benchmarks/RESULTS.md")
    write = parser.parse_args().write
    require_data()
    with tempfile.TemporaryDirectory() as name:
        folder, home = Path(name), OnsightHome(Path(name) / "home")
        run, out = folder / "run", folder / "trash.onsight"
        train(home.path, run, unpack_trashnet(folder), "--backbone", MOBILENET, "--validation-list",
              trashnet_list("val"), "--test-list", trashnet_list("test"))  # fmt: skip
        lines = []
        for variants in ("cpu", "all"):
            wall_s, cpu_s = export(home, run, out, variants)
            goal = f" (goal {GOAL_S} s)" if variants == "cpu" else ""
            lines.append(f"`--variants {variants}`: {wall_s:.0f} s{goal}, {cpu_s:.0f} s of CPU time.")
        table = table_of(load_bundle(out, TrustStore(home.trust_dir)).manifest)
    section = f"""## Forms of an export: `python -m benchmarks.variants --write`

`onsight export` of the TrashNet model (MobileNetV2, 224 x 224), {time.strftime("%Y-%m-%d")}, {os.cpu_count()} cores
with a load of {os.getloadavg()[2]:.1f}. {" ".join(lines)}
Measured on the CPU, on the held-out photos, as the signed certificates have it.

{table}"""
    print(section)
    if write:
        RESULTS.write_text(replace_section(RESULTS.read_text(), "benchmarks.variants", section))


if __name__ == "__main__":
    main()
