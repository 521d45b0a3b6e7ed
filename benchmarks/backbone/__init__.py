"""How the embedded backbone `onsight-small` was made: a small network learns to see as a larger one does.

    python -m benchmarks.backbone speed                                # what each candidate costs on this CPU
    python -m benchmarks.backbone train IMAGES.tar.gz --teacher FOLDER --out RUN --minutes 10
    python -m benchmarks.backbone probe RUN/network                    # frozen features on photos it never saw
    python -m benchmarks.backbone pack RUN/network --out FOLDER        # the folder that is embedded

`train` needs torch, transformers, safetensors, numpy and Pillow alone, so that it runs on a machine with a GPU that has
nothing else of Onsight; `speed`, `probe` and `pack` go through the product's own code. Nothing here is installed.
"""
