"""`python -m benchmarks`: every benchmark in turn, each in its own process. What they gave stands in RESULTS.md."""

import subprocess
import sys

BENCHMARKS = ("decode", "extraction", "snapshot", "near_duplicates", "quality", "int8", "variants", "studio", "serving")

failed = []
for name in BENCHMARKS:
    print(f"\n== python -m benchmarks.{name}", flush=True)
    if subprocess.run([sys.executable, "-m", f"benchmarks.{name}"]).returncode:
        failed.append(name)
if failed:
    sys.exit(f"failed: {', '.join(failed)}")
