"""Every table of the studio, by subject. Importing this package makes `metadata` complete."""

from studio.database.metadata import metadata
from studio.database.tables.access import api_tokens, audit, links, sessions, users
from studio.database.tables.images import images
from studio.database.tables.jobs import datasets, jobs, model_thresholds
from studio.database.tables.labels import event_sets, events, image_labels, labels, rejections
from studio.database.tables.projects import members, projects

__all__ = [
    "api_tokens", "audit", "datasets", "event_sets", "events", "image_labels", "images", "jobs", "labels", "links",
    "members", "metadata", "model_thresholds", "projects", "rejections", "sessions", "users",
]  # fmt: skip
