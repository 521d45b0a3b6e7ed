"""The training: views -> teacher and student -> one loss, inside a time budget, with checkpoints and an estimate.

The student learns four things at once: the teacher's maps at four depths (place by place, each channel in units of its
own deviation), its pooled features, its logits, and the label where a view shows one image. What is kept is a moving
average of the student's weights.
"""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from benchmarks.backbone.images import Pictures
from benchmarks.backbone.networks import CANDIDATES, MEAN, STD, Student, Teacher
from benchmarks.backbone.views import ViewMaker, resize

CALIBRATION_BATCHES = 8
HELD_OUT = 1000
WARM_UP = 0.04  # of the training
REPORT_S = 10.0
EMA_DECAY = 0.999


@dataclass(frozen=True)
class Plan:
    """edges: input sizes of the student, one drawn for each batch, the first one alone in the last tenth.

    steps: an end that does not depend on the clock; otherwise `minutes` is the end.
    """

    student: str
    edges: tuple[int, ...]
    minutes: float
    steps: int | None = None
    batch: int = 512
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    maps_weight: float = 2.0
    pooled_weight: float = 1.0
    logits_weight: float = 1.0
    label_weight: float = 0.2
    seed: int = 0
    save_every_s: float = 60.0
    compile: bool = False


@dataclass
class Progress:
    step: int = 0
    elapsed_s: float = 0.0


def distil(pictures: Pictures, teacher_folder: Path, plan: Plan, out: Path, say: Callable[[str], None] = print) -> None:
    """Train, or go on with what lies in `out`; leaves `out/network`, a folder that transformers loads."""
    out.mkdir(parents=True, exist_ok=True)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(plan.seed)
    views, held_out = _views(pictures, plan, device)
    teacher = Teacher(teacher_folder).to(device, memory_format=torch.channels_last)
    if device.type == "cuda":
        teacher.half()
    teach: Callable[[Tensor], tuple[list[Tensor], Tensor]] = lambda x: teacher(_for(x, teacher))  # noqa: E731
    centre, deviation, channels = _calibrate(teach, views, min(plan.batch, 128))
    student = Student(CANDIDATES[plan.student][0](), channels, 1000, len(pictures.classes))
    student.to(device, memory_format=torch.channels_last)
    average = copy.deepcopy(student).requires_grad_(False)
    optimizer = torch.optim.AdamW(_groups(student, plan), lr=plan.learning_rate, fused=True, betas=(0.9, 0.99))
    progress = _resume(out, plan, student, average, optimizer)
    if progress.step:
        say(f"going on after step {progress.step:,}")
    learn: Any = student
    if plan.compile:
        teacher.compile(dynamic=False)
        learn = torch.compile(student, dynamic=False)
    weights, averaged = list(student.state_dict().values()), list(average.state_dict().values())
    floats = [place for place, value in enumerate(weights) if value.is_floating_point()]
    weights, averaged = [weights[place] for place in floats], [averaged[place] for place in floats]

    began = time.monotonic() - progress.elapsed_s
    reported = saved = time.monotonic()
    reported_step = progress.step
    sums = torch.zeros(5, device=device)
    while (done := _share_done(progress, plan, time.monotonic() - began)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = plan.learning_rate * _schedule(done)
        batch = views.draw(progress.step, plan.batch)
        wanted_maps, wanted_logits = teach(batch.pixels)
        edge = _edge(plan, progress.step, done)
        pixels = (batch.pixels if edge == batch.pixels.shape[-1] else resize(batch.pixels, edge)).contiguous(
            memory_format=torch.channels_last
        )
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            maps, logits, label_logits = learn(pixels)
        parts = _losses(maps, logits, label_logits, wanted_maps, wanted_logits, batch.labels, centre, deviation)
        loss = (
            plan.maps_weight * parts[0]
            + plan.pooled_weight * parts[1]
            + plan.logits_weight * parts[2]
            + plan.label_weight * parts[3]
        )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(student.parameters(), 5.0)
        optimizer.step()
        progress.step += 1
        decay = min(EMA_DECAY, (1 + progress.step) / (10 + progress.step))
        with torch.no_grad():
            torch._foreach_lerp_(averaged, weights, 1 - decay)
            sums += torch.stack([loss.detach(), *(part.detach() for part in parts)])
        now = time.monotonic()
        progress.elapsed_s = now - began
        if now - reported > REPORT_S:
            steps = progress.step - reported_step
            means = [round(value, 4) for value in (sums / steps).tolist()]  # waits for the device: the time is true
            now = time.monotonic()
            _report(out, plan, progress, done, steps * plan.batch / (now - reported), means, say)
            reported, reported_step = now, progress.step
            sums.zero_()
        if now - saved > plan.save_every_s:
            _save(out, plan, student, average, optimizer, progress)
            saved = time.monotonic()
    _save(out, plan, student, average, optimizer, progress)
    say(f"done: {progress.step:,} steps of {plan.batch}; {_accuracy(average, held_out, plan.edges[0]):.3f} of held-out")


def _views(pictures: Pictures, plan: Plan, device: torch.device) -> tuple[ViewMaker, tuple[Tensor, Tensor]]:
    """Views of the training images, and the held-out images with their labels."""
    pixels = torch.from_numpy(pictures.pixels).to(device).permute(0, 3, 1, 2).contiguous()  # -> (N,3,h,w)
    labels = torch.from_numpy(pictures.labels).to(device)
    order = torch.randperm(len(pixels), generator=torch.Generator().manual_seed(plan.seed)).to(device)
    held, kept = order[: min(HELD_OUT, len(order) // 10)], order[min(HELD_OUT, len(order) // 10) :]
    return ViewMaker(pixels[kept], labels[kept], plan.seed), (pixels[held], labels[held])


def _for(pixels: Tensor, module: nn.Module) -> Tensor:
    dtype = next(module.parameters()).dtype
    return pixels.to(dtype=dtype, memory_format=torch.channels_last)


@torch.no_grad()
def _calibrate(
    teach: Callable[[Tensor], tuple[list[Tensor], Tensor]], views: ViewMaker, batch: int
) -> tuple[list[Tensor], list[Tensor], list[int]]:
    """Mean and deviation of each channel of the teacher's maps, (1,C,1,1) each, and the numbers of channels."""
    rows: list[list[Tensor]] = []
    for number in range(CALIBRATION_BATCHES):
        maps, _ = teach(views.draw(-1 - number, batch).pixels)
        rows.append([found.float() for found in maps])
    together = [torch.cat([row[place] for row in rows]) for place in range(len(rows[0]))]
    centre = [found.mean((0, 2, 3), keepdim=True) for found in together]
    deviation = [found.std((0, 2, 3), keepdim=True) + 1e-3 for found in together]
    return centre, deviation, [found.shape[1] for found in together]


def _losses(
    maps: list[Tensor], logits: Tensor, label_logits: Tensor, wanted_maps: list[Tensor], wanted_logits: Tensor,
    labels: Tensor | None, centre: list[Tensor], deviation: list[Tensor],
) -> list[Tensor]:  # fmt: skip
    """Of the maps, the pooled features, the logits, the label."""
    of_maps = torch.zeros((), device=logits.device)
    of_pooled = torch.zeros((), device=logits.device)
    for place, (found, raw) in enumerate(zip(maps, wanted_maps, strict=True)):
        wanted = (raw.float() - centre[place]) / deviation[place]
        pooled = wanted.mean((2, 3))
        if wanted.shape[-1] != found.shape[-1]:  # the student's input may have another size
            wanted = nn.functional.adaptive_avg_pool2d(wanted, found.shape[-2:])
        found = found.float()
        of_maps = of_maps + nn.functional.smooth_l1_loss(found, wanted.clamp(-6, 6)) / len(maps)
        of_pooled = of_pooled + nn.functional.mse_loss(found.mean((2, 3)), pooled) / pooled.var(0).mean() / len(maps)
    of_logits = nn.functional.kl_div(
        logits.float().log_softmax(1), wanted_logits.float().log_softmax(1), reduction="batchmean", log_target=True
    )
    of_label = torch.zeros((), device=logits.device)
    if labels is not None:
        of_label = nn.functional.cross_entropy(label_logits.float(), labels, label_smoothing=0.1)
    return [of_maps, of_pooled, of_logits, of_label]


def _groups(student: Student, plan: Plan) -> list[dict[str, Any]]:
    """Weight decay for matrices and kernels alone."""
    decayed = [parameter for parameter in student.parameters() if parameter.dim() > 1]
    plain = [parameter for parameter in student.parameters() if parameter.dim() <= 1]
    return [{"params": decayed, "weight_decay": plan.weight_decay}, {"params": plain, "weight_decay": 0.0}]


def _share_done(progress: Progress, plan: Plan, elapsed_s: float) -> float:
    return progress.step / plan.steps if plan.steps is not None else elapsed_s / (60 * plan.minutes)


def _schedule(done: float) -> float:
    if done < WARM_UP:
        return (done + 1e-3) / WARM_UP
    return 0.5 * (1 + math.cos(math.pi * (done - WARM_UP) / (1 - WARM_UP)))


def _edge(plan: Plan, step: int, done: float) -> int:
    if done > 0.9:
        return plan.edges[0]
    generator = torch.Generator().manual_seed(plan.seed * 7919 + step)
    return plan.edges[int(torch.randint(len(plan.edges), (), generator=generator))]


@torch.no_grad()
def _accuracy(average: Student, held_out: tuple[Tensor, Tensor], edge: int) -> float:
    pixels, labels = held_out
    average.eval()
    right = 0
    for start in range(0, len(pixels), 250):
        batch = resize(pixels[start : start + 250].float() / 255, edge)
        right += int((average(batch)[2].argmax(1) == labels[start : start + 250]).sum())
    return right / max(1, len(pixels))


def _report(
    out: Path, plan: Plan, progress: Progress, done: float, rate: float, means: list[float], say: Callable[[str], None]
) -> None:
    left_s = progress.elapsed_s / max(done, 1e-6) * (1 - done)
    names = ("loss", "maps", "pooled", "logits", "label")
    row = {"step": progress.step, "elapsed_s": round(progress.elapsed_s, 1), "views_per_s": round(rate)}
    row |= dict(zip(names, means, strict=True))
    with (out / "log.jsonl").open("a") as file:
        file.write(json.dumps(row) + "\n")
    losses = "  ".join(f"{name} {value:.3f}" for name, value in zip(names, means, strict=True))
    say(f"{done:4.0%}  step {progress.step:,}  {rate:,.0f} views/s  {losses}  {left_s:.0f} s left")


def _save(
    out: Path, plan: Plan, student: Student, average: Student, optimizer: torch.optim.Optimizer, progress: Progress
) -> None:
    """The averaged network as a transformers folder, and all that going on needs; each file is whole or the old one."""
    folder = out / "network"
    folder.mkdir(exist_ok=True)
    weights = {
        name: (value.half() if value.is_floating_point() else value).cpu().contiguous()
        for name, value in average.network.state_dict().items()
    }
    save_file(weights, folder / "model.part", {"format": "pt"})
    (folder / "model.part").replace(folder / "model.safetensors")
    average.network.config.save_pretrained(folder)
    edge = plan.edges[0]
    processor = {
        "do_normalize": True, "do_rescale": True, "do_resize": True, "image_mean": [MEAN] * 3, "image_std": [STD] * 3,
        "resample": 2, "rescale_factor": 1 / 255, "size": {"height": edge, "width": edge},
    }  # fmt: skip
    (folder / "preprocessor_config.json").write_text(json.dumps(processor, indent=1) + "\n")
    (out / "plan.json").write_text(json.dumps({**asdict(plan), **asdict(progress)}, indent=1) + "\n")
    state = {
        "plan": asdict(replace(plan, save_every_s=0.0)), "progress": asdict(progress), "student": student.state_dict(),
        "average": average.state_dict(), "optimizer": optimizer.state_dict(),
    }  # fmt: skip
    torch.save(state, out / "checkpoint.part")
    (out / "checkpoint.part").replace(out / "checkpoint.pt")


def _resume(out: Path, plan: Plan, student: Student, average: Student, optimizer: torch.optim.Optimizer) -> Progress:
    path = out / "checkpoint.pt"
    if not path.is_file():
        return Progress()
    state = torch.load(path, map_location=next(student.parameters()).device, weights_only=True)
    mine = asdict(replace(plan, save_every_s=0.0))
    differing = [name for name, value in mine.items() if _plain(value) != _plain(state["plan"].get(name))]
    if differing:
        raise ValueError(
            f"{out}: begun with another {', '.join(differing)}. Choose another --out, or the same options."
        )
    student.load_state_dict(state["student"])
    average.load_state_dict(state["average"])
    optimizer.load_state_dict(state["optimizer"])
    return Progress(**state["progress"])


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value
