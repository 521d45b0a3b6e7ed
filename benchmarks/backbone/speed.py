"""Milliseconds an image of each candidate through ONNX Runtime, alternating with MobileNetV2 at 224 in one process."""

from __future__ import annotations

import argparse
import time

REFERENCE = "MobileNetV2 at 224"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--edges", type=int, nargs="+", default=[160], metavar="PIXELS")


def run(arguments: argparse.Namespace) -> None:
    import numpy as np
    import onnxruntime as ort
    import torch
    from transformers import AutoModel, MobileNetV2Config

    from benchmarks.backbone.networks import CANDIDATES, MEAN, STD, multiply_adds
    from trainer.backbone import BackboneSpec, ImageEncoder, TransformersBackbone
    from trainer.features import BATCH_IMAGES
    from trainer.onnx_graph import export_onnx

    wanted = {REFERENCE: (MobileNetV2Config(), 224)}
    wanted |= {
        f"{name} at {edge}": (make(), edge) for name, (make, _) in CANDIDATES.items() for edge in arguments.edges
    }
    sessions, costs = {}, {}
    for name, (config, edge) in wanted.items():
        torch.manual_seed(0)
        network = AutoModel.from_config(config).eval()  # type: ignore[no-untyped-call]
        costs[name] = (multiply_adds(network, edge), sum(parameter.numel() for parameter in network.parameters()))
        spec = BackboneSpec(name, "", None, (MEAN,) * 3, (STD,) * 3, edge, edge)
        example = torch.zeros(2, edge, edge, 3, dtype=torch.uint8)
        encoder = ImageEncoder(spec, TransformersBackbone(network)).eval()
        graph = export_onnx(encoder, example, input_name="images", output_names=["features"])
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        images = np.random.default_rng(0).integers(0, 256, (BATCH_IMAGES, edge, edge, 3), np.uint8)
        sessions[name] = (ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"]), images)
    times: dict[str, list[float]] = {name: [] for name in sessions}
    for turn in range(arguments.rounds + 2):  # the first two warm up
        for name, (session, images) in sessions.items():
            began = time.perf_counter()
            session.run(None, {"images": images})
            if turn > 1:
                times[name].append((time.perf_counter() - began) / len(images) * 1e3)
    print(f"one thread, {BATCH_IMAGES} images a call, medians of {arguments.rounds} rounds")
    for name, values in times.items():
        ratio = np.median(np.asarray(times[REFERENCE]) / np.asarray(values))
        macs, parameters = costs[name]
        print(
            f"{name:22} {np.median(values):6.2f} ms  {ratio:5.2f} times as fast  {macs / 1e6:4.0f} M multiply-adds"
            f"  {parameters / 1e6:4.2f} M parameters"
        )
