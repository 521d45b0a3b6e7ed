"""What can be allowed, one by one, and the roles and scopes that bundle it. Decides nothing; tables alone.

A person may do in a project what their role there and further privileges of their own allow; an API token may do what
its scopes name, and never more than the person it belongs to.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Final


class Privilege(StrEnum):
    # in a project
    VIEW = "view"
    LABEL = "label"  # put labels on images and take them off, set flags and default labels
    UPLOAD = "upload"
    REMOVE = "remove"  # images
    EDIT_LABELS = "edit_labels"  # which labels there are: add, rename, merge, remove
    TRAIN = "train"
    PREDICT = "predict"
    DOWNLOAD = "download"  # models
    SHARE = "share"
    OWN = "own"  # rename the project, delete it
    # of the whole install
    CREATE_PROJECTS = "create_projects"
    ALL_PROJECTS = "all_projects"  # is an owner of every project
    MANAGE_USERS = "manage_users"
    READ_AUDIT = "read_audit"
    MANAGE_LICENSES = "manage_licenses"


INSTALL_PRIVILEGES: Final = frozenset(
    {
        Privilege.CREATE_PROJECTS, Privilege.ALL_PROJECTS, Privilege.MANAGE_USERS, Privilege.READ_AUDIT,
        Privilege.MANAGE_LICENSES,
    }
)  # fmt: skip
PROJECT_PRIVILEGES: Final = frozenset(Privilege) - INSTALL_PRIVILEGES


class ProjectRole(StrEnum):
    VIEWER = "viewer"
    LABELLER = "labeller"
    EDITOR = "editor"
    OWNER = "owner"


class InstallRole(StrEnum):
    GUEST = "guest"  # sees what is shared with them
    MEMBER = "member"
    ADMIN = "admin"


class Scope(StrEnum):
    """What an API token opens. Scopes do not contain one another, but for `admin`, which is everything."""

    READ = "read"
    LABEL = "label"
    WRITE = "write"
    TRAIN = "train"
    PREDICT = "predict"
    ADMIN = "admin"


_P = Privilege
_LABELLER = frozenset({_P.VIEW, _P.LABEL, _P.PREDICT})
_EDITOR = _LABELLER | {_P.UPLOAD, _P.REMOVE, _P.EDIT_LABELS, _P.TRAIN, _P.DOWNLOAD}
OF_PROJECT_ROLE: Final[dict[ProjectRole, frozenset[Privilege]]] = {
    ProjectRole.VIEWER: frozenset({_P.VIEW}),
    ProjectRole.LABELLER: _LABELLER,
    ProjectRole.EDITOR: _EDITOR,
    ProjectRole.OWNER: PROJECT_PRIVILEGES,
}
OF_INSTALL_ROLE: Final[dict[InstallRole, frozenset[Privilege]]] = {
    InstallRole.GUEST: frozenset(),
    InstallRole.MEMBER: frozenset({_P.CREATE_PROJECTS}),
    InstallRole.ADMIN: INSTALL_PRIVILEGES,
}
OF_SCOPE: Final[dict[Scope, frozenset[Privilege]]] = {
    Scope.READ: frozenset({_P.VIEW}),
    Scope.LABEL: frozenset({_P.VIEW, _P.LABEL}),
    Scope.WRITE: frozenset(
        {_P.VIEW, _P.LABEL, _P.UPLOAD, _P.REMOVE, _P.EDIT_LABELS, _P.OWN, _P.CREATE_PROJECTS, _P.ALL_PROJECTS}
    ),
    Scope.TRAIN: frozenset({_P.VIEW, _P.TRAIN, _P.DOWNLOAD}),
    Scope.PREDICT: frozenset({_P.PREDICT}),
    Scope.ADMIN: frozenset(Privilege),
}


def in_project(role: str | None, further: Iterable[str]) -> frozenset[Privilege]:
    """What a member may do there. role: as the row has it; None for no member."""
    if role is None:
        return frozenset()
    return OF_PROJECT_ROLE[ProjectRole(role)] | {Privilege(name) for name in further}


def of_scopes(scopes: Iterable[str]) -> frozenset[Privilege]:
    return frozenset().union(*(OF_SCOPE[Scope(name)] for name in scopes))
