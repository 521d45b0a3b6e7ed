"""Fetch a backbone from the Hugging Face Hub: the one place that opens a connection to it, when a person asks.

In this order: ask which commit a revision is and which files it has, choose config, safetensors, preprocessing and
licence among them, fetch these of exactly that commit, prove the network, add it to the store. Pickled weights are
never fetched. Nothing is sent but the names of what is asked for; the library's own telemetry stays off.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from typing import NoReturn

from bundle.reasons import first_line
from trainer.backbone_store import SOURCE, WANTED, BackboneStore, StoredBackbone, check_name
from trainer.errors import BackboneError

HUB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")


def add_from_hub(
    store: BackboneStore, hub_id: str, name: str | None = None, revision: str | None = None
) -> StoredBackbone:
    """Fetch `owner/name` at a commit, tag or branch (its main branch where None) into the store.

    Draws the library's own progress bars on stderr. HF_ENDPOINT names a mirror, HF_TOKEN a token for what needs one.
    Raises BackboneError, also where there is no network.
    """
    name = check_name(hub_id.partition("/")[2] if name is None else name)
    store.check_free(name)
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ["HF_HUB_DISABLE_XET"] = "1"  # one plain way to fetch, which mirrors and proxies know
    from httpx2 import HTTPError
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub import constants as hub
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    if hub.HF_HUB_OFFLINE:
        _refuse(hub_id, "leave to use the network", "HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE set", "Unset it first.")
    try:
        info = HfApi().model_info(hub_id, revision=revision, timeout=30)
        commit = info.sha or ""
        files = sorted(file.rfilename for file in info.siblings or () if WANTED.fullmatch(file.rfilename))
        if "config.json" not in files or not any(file.endswith(".safetensors") for file in files):
            _refuse(
                hub_id, "config.json and *.safetensors among its files", ", ".join(files) or "neither",
                "Pickled weights (.bin, .pt) are not fetched, since loading them runs code; choose another revision.",
            )  # fmt: skip
        with store.staging() as staging:
            target = staging / name
            snapshot_download(hub_id, revision=commit, local_dir=target, allow_patterns=files)
            shutil.rmtree(target / ".cache", ignore_errors=True)
            (target / SOURCE).write_text(json.dumps({"hub_id": hub_id, "revision": commit}) + "\n", encoding="utf-8")
            store.prove(target)
            return store.take(target)
    except GatedRepoError:
        _refuse(hub_id, "leave to fetch it", "that its owner asks you to agree to terms", "Agree there, set HF_TOKEN.")
    except RepositoryNotFoundError:
        _refuse(hub_id, "a model of the Hub", "none of that name that you may see", "Check the name.")
    except RevisionNotFoundError:
        _refuse(hub_id, "a commit, tag or branch of it", f"no {revision}", "Check --revision.")
    except (HTTPError, HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError) as error:
        if isinstance(error, OSError) and error.filename is not None:
            raise  # a file of this machine, not the network
        _refuse(
            hub_id, f"to reach {hub.ENDPOINT}", first_line(error),
            "Without a network: add a local folder, or a pack made by `onsight backbones pack` on another machine.",
        )  # fmt: skip


def _refuse(hub_id: str, expected: str, found: str, todo: str) -> NoReturn:
    raise BackboneError(f"{hub_id}: expected {expected}, found {found}. Nothing was added. {todo}") from None
