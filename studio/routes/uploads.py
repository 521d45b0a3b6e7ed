"""Take the files out of an upload: a form's files, an archive as the body, or one image as the body.

Bodies go to disk as they come, never whole into memory; what is left when the request ends goes with it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from typing import IO, Any

from flask import Request
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge
from werkzeug.formparser import parse_form_data

from server.problems import Problem
from studio.images.archives import (
    EMPTY_ZIP_MAGIC,
    ZIP_MAGIC,
    ArchiveLimits,
    Entry,
    is_safe_name,
    read_zip,
)
from studio.routes.form_files import MOST_FORM_FILES, FormFiles
from studio.settings import StudioSettings

MOST_FIELD_BYTES = 1024 * 1024  # also of what the parser holds of a file: 64 KiB, and what it could not pass on yet
_CHUNK_BYTES = 1024 * 1024


def uploaded_entries(request: Request, settings: StudioSettings, open_files: ExitStack) -> Iterator[Entry]:
    """Every file of the request; those of archives one by one. Raises Problem, and UploadBroken for an archive.

    open_files: to be closed when the last entry is taken, or none any more.
    """
    if request.mimetype == "multipart/form-data":
        return _form_entries(request, settings, open_files)
    if request.mimetype in ("application/zip", "application/x-zip-compressed"):
        return read_zip(_spooled_body(request, settings, open_files), _limits(settings))
    raise Problem(
        415, "UNSUPPORTED_MEDIA_TYPE", "Expected a form with files (multipart/form-data), or an application/zip."
    )


def _spooled_body(request: Request, settings: StudioSettings, open_files: ExitStack) -> IO[bytes]:
    """The body, whole, in a nameless file that is gone when it is closed. Raises Problem."""
    file = tempfile.TemporaryFile(dir=settings.incoming_folder)  # noqa: SIM115 - `open_files` closes it
    open_files.callback(file.close)
    written = 0
    while chunk := _chunk(request):
        file.write(chunk)
        written += len(chunk)
    if request.content_length is not None and written < request.content_length:
        raise _broken()
    file.seek(0)
    return file


def _chunk(request: Request) -> bytes:
    try:
        return request.stream.read(_CHUNK_BYTES)
    except (OSError, ClientDisconnected, ParseException) as error:  # a broken chunk, or a client gone
        raise _broken() from error


def _form_entries(request: Request, settings: StudioSettings, open_files: ExitStack) -> Iterator[Entry]:
    files = [file for _, file in _parse(request, settings, open_files).items(multi=True)]
    if not files:
        raise Problem(400, "FORM_FILES", "Expected at least one file in the form, found none.")
    archives = {}
    for number, file in enumerate(files):
        if file.stream.read(4) in (ZIP_MAGIC, EMPTY_ZIP_MAGIC):
            archives[number] = read_zip(file.stream, _limits(settings))  # here, so that a broken one is a problem
        file.stream.seek(0)

    def entries() -> Iterator[Entry]:
        for number, file in enumerate(files):
            if number in archives:
                yield from archives[number]
            else:
                yield _entry(file.filename or "", file.stream, settings)

    return entries()


def _entry(name: str, stream: IO[bytes], settings: StudioSettings) -> Entry:
    name = name.replace("\\", "/").removeprefix("./")  # browsers of old sent a path of Windows
    if not is_safe_name(name):
        return Entry(name[:200], None, "NAME_UNSAFE", "Its name could lead out of its folder, or is unprintable.")
    data = stream.read(settings.max_image_bytes + 1)
    if len(data) > settings.max_image_bytes:
        return Entry(name, None, "IMAGE_TOO_MANY_BYTES", f"It has more than {settings.max_image_bytes} bytes.")
    return Entry(name, data)


def _parse(request: Request, settings: StudioSettings, open_files: ExitStack) -> Any:
    kept = FormFiles(settings.incoming_folder)
    open_files.callback(kept.close)
    try:
        _, _, files = parse_form_data(
            request.environ,
            stream_factory=kept.new_part,
            max_form_memory_size=MOST_FIELD_BYTES,
            max_content_length=settings.max_upload_bytes,
            silent=False,
            max_form_parts=MOST_FORM_FILES + 8,
        )
    except RequestEntityTooLarge:
        raise
    except (ValueError, ClientDisconnected, ParseException) as error:
        raise _broken() from error
    return files


def _limits(settings: StudioSettings) -> ArchiveLimits:
    return ArchiveLimits(settings.max_archive_files, settings.max_unpacked_bytes, settings.max_image_bytes)


def _broken() -> Problem:
    return Problem(400, "BODY_BROKEN", "The request's body broke off or is badly framed. Send it again.")
