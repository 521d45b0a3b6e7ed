"""Who asks: a user, by a session of a browser or by an API token, and what they may do."""

from __future__ import annotations

from dataclasses import dataclass

from studio.access.privileges import (
    OF_INSTALL_ROLE,
    PROJECT_PRIVILEGES,
    InstallRole,
    Privilege,
    in_project,
    of_scopes,
)


@dataclass(frozen=True, slots=True)
class Principal:
    """session_id: the secret of the session's cookie; None for a token.  scopes: of the token; None for a session.

    token_project_id: the one project of the token; None where it opens all of the user's.
    """

    user_id: int
    public_id: str
    email: str
    name: str
    role: InstallRole
    session_id: str | None = None
    scopes: tuple[str, ...] | None = None
    token_project_id: int | None = None

    @property
    def install_privileges(self) -> frozenset[Privilege]:
        if self.token_project_id is not None:
            return frozenset()
        return OF_INSTALL_ROLE[self.role] & self.opened

    @property
    def opened(self) -> frozenset[Privilege]:
        """What the session or the token opens at all, whoever's it is."""
        return frozenset(Privilege) if self.scopes is None else of_scopes(self.scopes)

    @property
    def sees_all_projects(self) -> bool:
        """By the user's role; a token's scopes narrow what may be done there."""
        return Privilege.ALL_PROJECTS in OF_INSTALL_ROLE[self.role]

    def privileges_in(self, project_id: int, role: str | None, further: list[str] | None) -> frozenset[Privilege]:
        """What the user may do in a project, by whichever way they came. role, further: of their membership."""
        if self.token_project_id not in (None, project_id):
            return frozenset()
        return PROJECT_PRIVILEGES if self.sees_all_projects else in_project(role, further or ())
