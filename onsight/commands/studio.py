"""onsight studio: the web application, and what its operator needs beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from onsight.usage import usage_error

if TYPE_CHECKING:
    from studio.settings import StudioSettings


@click.group(invoke_without_command=True)
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=int, help="[default: 8080]")
@click.option("--url", help="How people reach it, for links: https://studio.example.org  [default: host and port]")
@click.option("--threads", type=int, metavar="N", help="Requests answered at once.  [default: 16]")
@click.option("--log-format", type=click.Choice(["text", "json"]), help="Of the log, on stderr.  [default: text]")
@click.pass_context
def command(ctx: click.Context, /, **choices: Any) -> None:
    """Start the studio: upload, label, train, understand and predict in a browser, all on this machine.

    \b
    onsight studio
    onsight studio --host 0.0.0.0 --url http://studio.local:8080

    At its first start it prints a link, once, with which the first user is made. Database and images lie in the home
    (~/.onsight, or ONSIGHT_HOME); ONSIGHT_DATABASE_URL names a PostgreSQL instead. Every option is an environment
    variable too, and there are more: docs/configuration.md. How to run it: docs/studio.md.
    """
    if ctx.invoked_subcommand is not None:
        return
    from studio.hosting import run_studio

    run_studio(_settings(choices), lambda line: click.echo(line, err=True))


@command.command("migrate")
def migrate_database() -> None:
    """Bring the database to this version's tables. Every start does it; this does it alone."""
    from studio.database.engine import Database
    from studio.database.migrate import migrate

    database = Database(_settings({}).sqlalchemy_url)
    try:
        before, after = migrate(database)
    finally:
        database.close()
    click.echo(f"database: {after}, as before" if before == after else f"database: {before or 'empty'} -> {after}")


@command.command("sweep")
def sweep_files() -> None:
    """Remove files of images that no project has: what a crash left, and what could not be deleted."""
    from studio.hosting import open_parts
    from studio.images.orphans import sweep

    parts = open_parts(_settings({}))
    try:
        click.echo(f"removed: {sweep(parts.database, (parts.originals, parts.thumbnails))}")
    finally:
        parts.database.close()


@command.command("worker")
@click.option("--short", is_flag=True, help="Take exports alone, which then wait for no training.")
@click.option("--attached", is_flag=True, hidden=True, help="End when standard input closes.")
def run_jobs(short: bool, attached: bool) -> None:
    """Run the studio's trainings and exports, one after the other.

    `onsight studio` keeps as many running as ONSIGHT_STUDIO_JOB_WORKERS says, and one for exports. Each further worker
    runs one more job at once; all of them need the studio's home, its database and its image files.
    """
    from studio.jobs.hosting import run_worker

    run_worker(_settings({}), short=short, attached=attached)


@command.command("link")
@click.argument("email")
def make_link(email: str) -> None:
    """Print a link with which the user EMAIL chooses a new password, once. For an admin who forgot theirs."""
    from datetime import timedelta

    from studio.access.links import new_password_secret
    from studio.access.users import find_by_email
    from studio.context import utc_now
    from studio.database.engine import Database

    settings = _settings({})
    database = Database(settings.sqlalchemy_url)
    try:
        with database.writing() as connection:
            user = find_by_email(connection, email)
            if user is None:
                raise click.ClickException(f"{email}: expected a user of this studio, found none of this address.")
            secret = new_password_secret(connection, user.id, utc_now(), timedelta(hours=settings.link_hours))
    finally:
        database.close()
    click.echo(f"{settings.public_url}/password#{secret}")


def _settings(choices: dict[str, Any]) -> StudioSettings:
    from pydantic import ValidationError

    from studio.settings import StudioSettings

    given = {name: value for name, value in choices.items() if value is not None}
    try:
        return StudioSettings(**given)
    except ValidationError as error:
        from_environment = {
            name: field.validation_alias
            if isinstance(field.validation_alias, str)
            else f"ONSIGHT_STUDIO_{name.upper()}"
            for name, field in StudioSettings.model_fields.items()
            if name not in given
        }
        raise usage_error(error, from_environment) from error
