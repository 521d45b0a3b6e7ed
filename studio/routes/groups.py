"""The headings that the studio's calls stand under in the OpenAPI document, in its order."""

from __future__ import annotations


class Group:
    ACCOUNT = "Signing in and the account"
    TOKENS = "API tokens"
    USERS = "Users and the audit log"
    PROJECTS = "Projects and sharing"
    IMAGES = "Images"
    LABELS = "Labels"
    LABELLING = "Labelling"
    SIMILARITY = "Images that look alike"
    JOBS = "Trainings and exports"
    MODELS = "How good a model is"
    PREDICT = "Predictions"
    DOWNLOAD = "Downloads and licences"
    CLOUD = "Cloud-compatible calls"
    WATCH = "Health and documents"


TAGS: list[dict[str, str]] = [
    {"name": Group.ACCOUNT, "description": "A browser signs in and keeps a cookie; every change it makes sends the"
     " session's `csrf_token` in X-CSRF-Token."},
    {"name": Group.TOKENS, "description": "For programs: of one user, with scopes, shown once."},
    {"name": Group.USERS, "description": "For admins."},
    {"name": Group.PROJECTS, "description": "Who is no member does not learn that a project exists."},
    {"name": Group.IMAGES, "description": "Upload, look, remove."},
    {"name": Group.LABELS, "description": "Which labels there are, in which order."},
    {"name": Group.LABELLING, "description": "Which images have them. Every change is an event that can be undone."},
    {"name": Group.PREDICT, "description": "With the project's own models. Programs may call the inference API as well:"
     " `/v1`, `/v2` and `/api/predict/{project}/{model}`, as `onsight serve` has them."},
    {"name": Group.DOWNLOAD, "description": "Bundles for other machines."},
    {"name": Group.SIMILARITY, "description": "By what the built-in network sees in them."},
    {"name": Group.JOBS, "description": "They wait in a queue, run as processes of their own, and outlive the studio."},
    {"name": Group.MODELS, "description": "Figures follow from the scores that the training recorded; no call"
     " here changes a model."},
    {"name": Group.CLOUD, "description": "As other programs call them already; names in place of ids."},
    {"name": Group.WATCH, "description": "For load balancers and programs."},
]  # fmt: skip
