"""python -m studio.document: print the studio's OpenAPI document. The front end's types are made from it.

The studio that it makes for that has no users, and its folder is gone afterwards.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from studio.app import create_app
from studio.context import StudioContext
from studio.database.engine import Database
from studio.images.blobs import open_blobs
from studio.routes.outline import studio_document
from studio.settings import StudioSettings


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        settings = StudioSettings(home=Path(folder), images_url=folder)
        originals, thumbnails = open_blobs(settings.images_url, settings.folder)
        database = Database(settings.sqlalchemy_url)
        app = create_app(StudioContext(settings, database, originals, thumbnails))
        json.dump(studio_document(app, ""), sys.stdout, indent=1)
        database.close()


if __name__ == "__main__":
    main()
