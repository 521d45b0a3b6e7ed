"""Changed bundles are refused: every byte of a manifest, ten thousand random flips elsewhere, every kind of entry."""

from __future__ import annotations

from benchmarks.promises.promise import Promise
from benchmarks.promises.shown_by_test import shown_by_test

_FILE = "tests/bundle/test_tampering_in_full.py"

PROMISES = (
    Promise(
        "manifest_flips",
        "A bundle with a byte of its manifest flipped is refused, whichever byte",
        shown_by_test(f"{_FILE}::test_every_flipped_byte_of_the_manifest_is_refused_by_the_loader"),
    ),
    Promise(
        "payload_flips",
        "10,000 bundles with a random bit of another file flipped, as archives and as folders, are all refused",
        shown_by_test(
            f"{_FILE}::test_random_flips_of_the_other_files_are_refused_in_archives_and_in_folders",
            full={"ONSIGHT_TEST_FLIPS": "10000"},
        ),
    ),
    Promise(
        "foreign_entries",
        "Extra, missing, renamed, doubled, linked and oversized entries are refused, and nothing is written for them",
        shown_by_test(
            *(
                f"{_FILE}::test_{name}"
                for name in (
                    "an_archive_with_an_entry_that_does_not_belong_leaves_no_trace",
                    "a_folder_with_a_file_that_does_not_belong_leaves_no_trace",
                    "no_file_may_be_there_twice",
                    "nothing_is_unpacked_over_or_through_what_is_there",
                )
            )
        ),
    ),
)
