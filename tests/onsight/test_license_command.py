"""onsight license: the request that an install makes is the recipient that a bundle is sealed for."""

from __future__ import annotations

import json
from pathlib import Path

from onsight_process import Onsight

from bundle.home import OnsightHome
from licenses.identity import InstallIdentity
from licenses.recipient import read_recipient


def test_a_request_names_the_install_that_made_it_and_nothing_secret(
    onsight: Onsight, home: OnsightHome, tmp_path: Path
) -> None:
    made = onsight("license", "request", "--out", "request.txt", "--name", "Line 3")
    assert made.code == 0, made.stderr
    own = InstallIdentity.load(home.licenses_dir)
    assert own is not None
    recipient = read_recipient(str(tmp_path / "request.txt"))
    assert (recipient.install, recipient.public_key) == (own.install_id, own.recipient_public)
    shown = json.loads(onsight("license", "identity", "--json").stdout)
    assert shown == {"install_id": own.install_id, "recipient_key": own.recipient_public.hex()}
    assert own.salt.hex() not in (tmp_path / "request.txt").read_text()


def test_a_request_on_stdout_is_the_same_kind_of_file(onsight: Onsight, tmp_path: Path) -> None:
    (tmp_path / "request.txt").write_text(onsight("license", "request").stdout)
    read_recipient(str(tmp_path / "request.txt"))


def test_a_name_that_no_request_may_hold_is_wrong_usage(onsight: Onsight) -> None:
    refused = onsight("license", "request", "--name", "")
    assert refused.code == 2
    assert "--name: " in refused.stderr
