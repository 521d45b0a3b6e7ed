"""onsight engine: TensorRT engines ahead of serving."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from onsight.usage import usage_error

if TYPE_CHECKING:
    from onsight.engines import Kept, Outcome
    from server.engines.tensorrt.progress import BuildProgress
    from server.settings import ServerSettings


@click.group()
def command() -> None:
    """TensorRT engines: build them before the server starts, list them, clear them.

    They lie in the cache of this install, sealed with its key, and are built by the server's own code under the
    server's own settings: `onsight serve` with ONSIGHT_PROVIDERS=tensorrt then starts at once.
    """


def _settings(**given: Any) -> ServerSettings:
    from pydantic import ValidationError

    from server.settings import ServerSettings

    try:
        return ServerSettings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        raise usage_error(error, {name: f"ONSIGHT_{name.upper()}" for name in ServerSettings.model_fields}) from error


@command.command("build")
@click.argument("path", metavar="BUNDLE|FOLDER", type=click.Path(path_type=Path, exists=True))
@click.option(
    "--precision", type=click.Choice(["auto", "fp32", "fp16", "int8"]),
    help="Build for this one alone.  [default: ONSIGHT_PRECISION, or all that may serve]",
)  # fmt: skip
@click.option("--device", type=click.IntRange(0), metavar="N", help="The GPU's number.  [default: ONSIGHT_DEVICES]")
@click.option(
    "--max-batch", type=click.IntRange(1, 1024), metavar="N",
    help="Largest batch.  [default: the last of ONSIGHT_BATCH_SIZES, or 64]",
)  # fmt: skip
@click.option("--preflight", "only_try", is_flag=True, help="Only try whether TensorRT could read it; needs no GPU.")
@click.option("--json", "as_json", is_flag=True, help="Print what was done as JSON.")
@click.pass_context
def build(
    context: click.Context,
    path: Path,
    precision: str | None,
    device: int | None,
    max_batch: int | None,
    only_try: bool,
    as_json: bool,
) -> None:
    """Build the engines of BUNDLE, or of every bundle in FOLDER, on this machine's GPU.

    \b
    onsight engine build models/
    ONSIGHT_PROVIDERS=tensorrt onsight serve models/

    It takes minutes a model, once for each kind of GPU, driver and TensorRT.
    """
    from bundle.home import OnsightHome
    from onsight import engines
    from onsight.terminal import TerminalReporter
    from server.engines.process.batching import DEFAULT_BATCH_SIZES
    from server.engines.tensorrt.provider import TensorRTOptions

    settings = _settings(precision=precision)
    if not settings.engine_cache_bytes and not only_try:
        raise click.UsageError("ONSIGHT_ENGINE_CACHE_BYTES: expected room for engines, found 0: none would be kept.")
    usual = settings.batch_sizes or DEFAULT_BATCH_SIZES
    sizes = engines.sizes_up_to(usual, max_batch)
    number = settings.devices[0] if device is None else device
    options = TensorRTOptions(number, sizes, settings.home, settings.engine_cache_bytes)
    home, paths = OnsightHome(settings.home), engines.bundles_in(path)
    outcomes: list[Outcome] = []
    with TerminalReporter() as reporter:

        def watch(name: str, how_far: BuildProgress) -> None:
            reporter.step(f"{name}: {how_far}", min(99, int(100 * how_far.fraction)), 100)

        if only_try:
            made = engines.preflight(paths, home, options, settings.precision)
        else:
            made = engines.build_engines(paths, home, options, settings.precision, watch)
        for outcome in made:
            reporter.close()
            outcomes.append(outcome)
            if not as_json:
                _tell(outcome, only_try)
    if as_json:
        click.echo(json.dumps([_document(outcome, only_try) for outcome in outcomes], ensure_ascii=False))
    if not outcomes:
        raise click.ClickException(
            f"{path}: expected a form of the model of precision {settings.precision} that may run on TensorRT, found"
            " none. `onsight verify` says which there are."
        )
    if sizes != usual and not only_try:
        click.echo(
            f"Serve with ONSIGHT_BATCH_SIZES={','.join(map(str, sizes))}: engines are for these alone.", err=True
        )
    context.exit(1 if any(outcome.error for outcome in outcomes) else 0)


def _tell(outcome: Outcome, only_tried: bool) -> None:
    name = f"{outcome.bundle} {outcome.variant}".strip()
    if outcome.error is not None:
        click.echo(f"failed  {name}: {outcome.error}")
    elif outcome.skipped is not None:
        click.echo(f"skipped {name}: {outcome.skipped}")
    elif only_tried:
        click.echo(f"reads   {outcome.model} {outcome.version} {outcome.variant}: the parser has no complaint")
    else:
        done = "built" if outcome.built else "there already"
        click.echo(
            f"ok      {outcome.model} {outcome.version} {outcome.variant}: {done}; golden replay within"
            f" {outcome.golden_difference:.1e}"
        )


def _document(outcome: Outcome, only_tried: bool) -> dict[str, object]:
    done = "reads" if only_tried else "built" if outcome.built else "there"
    return {
        "bundle": str(outcome.bundle),
        "model": outcome.model,
        "version": outcome.version,
        "variant": outcome.variant,
        "precision": outcome.precision,
        "status": "failed" if outcome.error else "skipped" if outcome.skipped else done,
        "golden_difference": outcome.golden_difference,
        "skipped": outcome.skipped,
        "error": outcome.error,
    }


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON.")
def list_engines(as_json: bool) -> None:
    """Print every engine in the cache, what it is for, and whether a server here would use it."""
    from onsight.engines import look_at_cache

    cache = look_at_cache(_settings())
    kept = [each for each in cache.kept if _is_engine(each)] if cache is not None else []
    if as_json:
        click.echo(json.dumps([_listed(each) for each in kept], ensure_ascii=False))
    for each in kept if not as_json else []:
        entry, size = each.entry, f"{each.entry.size_bytes / 1e6:.1f} MB"
        told = f"fits, or not: {each.misfit}" if each.misfit and cache and each.misfit == cache.unknown else None
        told = told or ("fits this machine" if each.misfit is None else f"does not fit: {each.misfit}")
        if entry.problem is not None:
            click.echo(f"{entry.name}  {size}  of no use: {entry.problem}")
            continue
        model = f"{entry.facts.get('model', '?')} {entry.facts.get('version', '')}".strip()
        click.echo(
            f"{model}  {entry.identity['precision']}  {entry.identity['gpu']}  TensorRT {entry.identity['tensorrt']}"
            f"  {size}  {entry.facts.get('built_at', '?')}  {told}"
        )
    if not kept and not as_json:
        click.echo("No engine has been built yet: `onsight engine build`, or serve with tensorrt.", err=True)


def _is_engine(kept: Kept) -> bool:
    return kept.entry.name.startswith("plan-")


def _listed(kept: Kept) -> dict[str, object]:
    entry = kept.entry
    return {
        "name": entry.name,
        "model": entry.facts.get("model"),
        "version": entry.facts.get("version"),
        **{
            name: entry.identity.get(name) for name in ("precision", "gpu", "tensorrt", "driver", "cuda", "batch_sizes")
        },
        "size_bytes": entry.size_bytes,
        "built_at": entry.facts.get("built_at"),
        "build_s": entry.facts.get("seconds"),
        "fits": kept.misfit is None,
        "reason": kept.misfit,
    }


@command.command("clear")
@click.option("--unusable", is_flag=True, help="What no server on this machine would use.")
@click.option("--all", "everything", is_flag=True, help="Everything, timings of kernels included.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def clear(unusable: bool, everything: bool, yes: bool) -> None:
    """Remove engines from the cache. They can be built again; a server that runs one keeps it."""
    from onsight.engines import NoGpu, look_at_cache

    if unusable == everything:
        raise click.UsageError("expected one of --unusable and --all.")
    cache = look_at_cache(_settings())
    if cache is not None and unusable and cache.unknown is not None:
        raise NoGpu(f"{cache.unknown.rstrip('.')}: so nothing can be said about what fits. Use --all to remove it all.")
    doomed = [each.entry for each in cache.kept if everything or each.misfit is not None] if cache else []
    if cache is None or not doomed:
        click.echo("Nothing to remove.", err=True)
        return
    size = f"{sum(entry.size_bytes for entry in doomed) / 1e6:.1f} MB"
    if not yes:
        click.confirm(f"Remove {len(doomed)} entries, {size}?", abort=True, err=True)
    busy = [entry.name for entry in doomed if not cache.cache.remove(entry.name)]
    click.echo(f"{len(doomed) - len(busy)} entries removed", err=True)
    if busy:
        raise click.ClickException(f"{', '.join(busy)}: expected to remove it, found it in use. Try again.")
