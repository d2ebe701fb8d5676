"""`file`: put, get, look at, delete, and keep the stores in order."""

import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dovecote.cli.context import Refused, confirm, exists, on_outbox, settings_of, users_values
from dovecote.cli.output import NONE, moment, note, number, say, say_facts, say_json, say_table
from dovecote.cli.pages import LAST_ID, AsJson, BeforeId, Limit, Yes
from dovecote.cli.progress import progress
from dovecote.errors import DovecoteError

if TYPE_CHECKING:
    from dovecote.app import Dovecote
    from dovecote.model import Collection, Move, Removal, StoredFile, Verification

file_app = typer.Typer(help="Files: contents that notifications send, and that people sent.", no_args_is_help=True)

FileId = Annotated[int, typer.Argument(metavar="ID", min=1, max=LAST_ID, help="The file's id.", show_default=False)]
STREAM = "-"


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    file_app.command("put", epilog="Example: dovecote file put catalogue.pdf --keep")(put)
    file_app.command("get", epilog="Example: dovecote file get 17 catalogue.pdf")(get)
    file_app.command("list", epilog="Example: dovecote file list --name catalogue.pdf")(list_page)
    file_app.command("show", epilog="Example: dovecote file show 17")(show)
    file_app.command("url", epilog="Example: dovecote file url 17 --expires 10m")(url)
    file_app.command("delete", epilog="Example: dovecote file delete 17")(delete)
    file_app.command("collect", epilog="Example: dovecote file collect --grace 1d")(collect)
    file_app.command("verify", epilog="Example: dovecote file verify --quick")(verify)
    file_app.command("move", epilog="Example: dovecote file move s3://shop-files/bot")(move)
    app.add_typer(file_app, name="file")


def put(
    context: typer.Context,
    source: Annotated[
        str, typer.Argument(metavar="FILE", help="The file's path, or - for standard input.", show_default=False)
    ],
    *,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="What recipients see. The file's own by default.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep it until it is deleted, needed or not.")] = False,
    as_json: AsJson = False,
) -> None:
    """Store a file and print its id. A content that is there already is not stored again."""

    async def act(dovecote: "Dovecote") -> "StoredFile":
        with users_values():
            try:
                if source == STREAM:
                    return await dovecote.files.put(sys.stdin.buffer, name=name, keep=keep)
                return await dovecote.files.put(Path(source), name=name, keep=keep)
            except OSError as error:
                raise _of_path(error, f'"{source}" cannot be read ({error.strerror}): name a file.') from None

    file = on_outbox(context, act)
    if as_json:
        say_json(_record(file))
    else:
        say(f"File {file.id}: {number(file.size)} bytes, {file.content_type}, SHA-256 {file.sha256}.")


def get(
    context: typer.Context,
    file_id: FileId,
    target: Annotated[
        str | None,
        typer.Argument(metavar="FILE", help="Where to, or - for standard output.", show_default=False),
    ] = None,
    *,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write a file's content, verified, to a file of the disk: under its own name where none is given."""

    async def act(dovecote: "Dovecote") -> tuple["StoredFile", str]:
        file = await dovecote.files.info(file_id)
        path = Path(target or file.name or f"file-{file.id}")
        if exists(path) and not force:
            raise Refused(f'there is a file "{path}" already: name another one, or add --force.')
        try:
            await dovecote.files.save(file_id, path)
        except OSError as error:
            raise _of_path(error, f'"{path}" cannot be written ({error.strerror}): name another file.') from None
        return file, str(path)

    async def stream(dovecote: "Dovecote") -> None:
        async for chunk in dovecote.files.stream(file_id):
            sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()

    if target == STREAM:
        if as_json:
            raise typer.BadParameter("standard output has the content already.", param_hint="--json")
        on_outbox(context, stream)
        return
    file, path = on_outbox(context, act)
    if as_json:
        say_json({**_record(file), "path": path})
    else:
        say(f'"{path}" has the {number(file.size)} bytes of file {file.id}.')


def list_page(
    context: typer.Context,
    *,
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="Those of this name alone.")] = None,
    limit: Limit = 50,
    before: BeforeId = None,
    as_json: AsJson = False,
) -> None:
    """List the files, the newest first."""
    # One more than asked for tells whether there is another page.
    found = on_outbox(context, lambda dovecote: dovecote.files.list(name=name, before_id=before, limit=limit + 1))
    page = found[:limit]
    if as_json:
        say_json([_record(file) for file in page])
    elif page:
        say_table(
            ["id", "bytes", "type", "name", "put", "kept"],
            [
                [
                    str(file.id),
                    number(file.size),
                    file.content_type,
                    file.name or NONE,
                    moment(file.created_at),
                    "yes" if file.kept else "no",
                ]
                for file in page
            ],
        )
    else:
        say("There is no file." if name is None else f'No file has the name "{name}".')
    if len(found) > limit:
        note(f"There are older ones: --before {page[-1].id}")


def show(context: typer.Context, file_id: FileId, *, as_json: AsJson = False) -> None:
    """Show what is known of a file."""
    file = on_outbox(context, lambda dovecote: dovecote.files.info(file_id))
    if as_json:
        say_json(_record(file))
        return
    say_facts(
        {
            "id": str(file.id),
            "bytes": number(file.size),
            "type": file.content_type,
            "SHA-256": file.sha256,
            "names": ", ".join(file.names) or NONE,
            "put": moment(file.created_at),
            "last needed": moment(file.needed_at),
            "kept": "until it is deleted" if file.kept else "while it is needed",
            "copies": ", ".join(f"{copy.key} in store {copy.store_id}" for copy in file.copies) or NONE,
        }
    )


def url(
    context: typer.Context,
    file_id: FileId,
    *,
    expires: Annotated[
        str, typer.Option("--expires", metavar="TIME", help="How long a signed URL is good for, as 10m or 1h.")
    ] = "1h",
    as_json: AsJson = False,
) -> None:
    """Print a URL to read a file by, made now."""

    async def act(dovecote: "Dovecote") -> str:
        with users_values():
            return await dovecote.files.url(file_id, expires_in=_duration(expires, "--expires"))

    found = on_outbox(context, act)
    if as_json:
        say_json({"url": found})
    else:
        say(found)


def delete(
    context: typer.Context,
    file_id: FileId,
    *,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Take this name alone; with the last one it goes.")
    ] = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Delete a file with all its names. What a notification in the outbox needs cannot be deleted."""
    what = f"file {file_id}" if name is None else f'the name "{name}" of file {file_id}'
    confirm(f"Delete {what}?", yes=yes)
    deleted = on_outbox(context, lambda dovecote: dovecote.files.delete(file_id, name=name))
    if as_json:
        say_json({"deleted": deleted})
    else:
        say(f"File {file_id} is deleted." if deleted else f'File {file_id} has the name "{name}" no more.')


def collect(
    context: typer.Context,
    *,
    grace: Annotated[
        str | None,
        typer.Option(
            "--grace", metavar="TIME", help="How long a file must not have been needed. files.grace if not set."
        ),
    ] = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Remove files that no notification needs and nobody keeps, and what failed uploads left, as the leader does."""
    unneeded = settings_of(context).files.grace if grace is None else _duration(grace, "--grace")
    confirm(f"Remove the files that nobody has needed for {unneeded}?", yes=yes)

    async def act(dovecote: "Dovecote") -> "Collection":
        with progress("collecting") as bar:
            return await dovecote.files.collect(
                grace=unneeded, on_progress=lambda done: bar(done.files + done.objects, None)
            )

    done = on_outbox(context, act)
    if as_json:
        say_json(done)
        return
    say(
        f"Removed {number(done.files)} files of {number(done.size)} bytes, and {number(done.objects)} objects from the"
        " stores."
    )
    if done.failed_objects:
        note(f"{number(done.failed_objects)} objects could not be removed just now; they are tried again in an hour.")


def verify(
    context: typer.Context,
    *,
    quick: Annotated[bool, typer.Option("--quick", help="Compare sizes alone, and read no content.")] = False,
    remove_strays: Annotated[
        bool, typer.Option("--remove-strays", help="Compare nothing; remove objects that no file and no upload has.")
    ] = False,
    grace: Annotated[
        str | None,
        typer.Option("--grace", metavar="TIME", help="How old a stray must be to be removed. files.grace if not set."),
    ] = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Compare the database with the stores, and name what is missing, damaged or stray. Ends with 1 if anything is."""
    if remove_strays:
        _remove_strays(context, quick=quick, grace=grace, yes=yes, as_json=as_json)
        return
    if grace is not None:
        raise typer.BadParameter("it is about --remove-strays.", param_hint="--grace")

    async def act(dovecote: "Dovecote") -> "Verification":
        with progress("verifying") as bar:
            return await dovecote.files.verify(quick=quick, on_progress=bar)

    verification = on_outbox(context, act)
    if as_json:
        say_json(verification)
    elif verification.found:
        say_table(
            ["problem", "file", "store", "key", "detail"],
            [[one.problem, str(one.file_id or NONE), one.store, one.key, one.detail] for one in verification.found],
        )
    else:
        say(f"{number(verification.files)} files and {number(verification.objects)} objects agree.")
    if verification.found:
        raise typer.Exit(1)


def _remove_strays(context: typer.Context, *, quick: bool, grace: str | None, yes: bool, as_json: bool) -> None:
    if quick:
        raise typer.BadParameter("nothing is compared with --remove-strays.", param_hint="--quick")
    old = settings_of(context).files.grace if grace is None else _duration(grace, "--grace")
    confirm(
        f"Remove every object older than {old} that no file of this database has? What another installation keeps under"
        " the same prefix would go as well.",
        yes=yes,
    )

    async def act(dovecote: "Dovecote") -> "Removal":
        with progress("removing") as bar:
            return await dovecote.files.remove_strays(grace=old, on_progress=lambda done: bar(done.objects, None))

    _say_removal(on_outbox(context, act), as_json=as_json)


def _remove_old(context: typer.Context, url: str, *, yes: bool, as_json: bool) -> None:
    confirm(
        f"Remove from {url} what the move has left there? Nothing else has a copy of what was deleted since.", yes=yes
    )

    async def act(dovecote: "Dovecote") -> "Removal":
        with progress("removing") as bar:
            return await dovecote.files.remove_old(url, on_progress=lambda done: bar(done.objects, None))

    _say_removal(on_outbox(context, act), as_json=as_json)


def _say_removal(done: "Removal", *, as_json: bool) -> None:
    if as_json:
        say_json(done)
    else:
        say(f"Removed {number(done.objects)} objects of {number(done.size)} bytes.")
        if done.young:
            note(f"{number(done.young)} more are younger than the grace period, and stay.")
    if done.failed:
        note(f"{number(done.failed)} could not be removed: try again.")
        raise typer.Exit(1)


def move(
    context: typer.Context,
    target: Annotated[
        str | None,
        typer.Argument(metavar="URL", help="The store to move to, written as storage.url is.", show_default=False),
    ] = None,
    *,
    abandon: Annotated[bool, typer.Option("--abandon", help="Give a move up that was begun.")] = False,
    remove_old: Annotated[
        str | None,
        typer.Option(
            "--remove-old", metavar="URL", help="Remove what a finished move has left in the store of that URL."
        ),
    ] = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Move all files to another store while everything goes on. Begun again, it goes on where it was."""
    if sum((target is not None, abandon, remove_old is not None)) != 1:
        raise typer.BadParameter("name the URL of the store to move to, or --abandon, or --remove-old URL.")
    if remove_old is not None:
        _remove_old(context, remove_old, yes=yes, as_json=as_json)
        return
    if target is None:
        confirm("Give the move up? What was copied stays in the other store.", yes=yes)
        given_up = on_outbox(context, lambda dovecote: dovecote.files.abandon_move())
        if as_json:
            say_json({"abandoned": given_up})
        else:
            say("No move was under way." if given_up is None else f"The files stay where they are, not in {given_up}.")
        return
    chosen = target
    confirm(f"Move all files to {chosen}? What is put meanwhile goes to both stores.", yes=yes)

    async def act(dovecote: "Dovecote") -> "Move":
        with progress("moving") as bar:
            return await dovecote.files.move(
                chosen, on_progress=lambda state: bar(state.files - state.lacking, state.files)
            )

    done = on_outbox(context, act)
    if as_json:
        say_json(done)
        return
    say(f"{number(done.files)} files are in {done.target}, and it answers from now on.")
    note(
        f'Set storage.url to it. The old store ("{done.source}") is not used any more:'
        " `dovecote file move --remove-old` empties it."
    )


def _record(file: "StoredFile") -> dict[str, object]:
    return {
        "id": file.id,
        "size": file.size,
        "sha256": file.sha256,
        "content_type": file.content_type,
        "names": file.names,
        "created_at": file.created_at,
        "needed_at": file.needed_at,
        "kept": file.kept,
        "copies": [{"store_id": copy.store_id, "key": copy.key} for copy in file.copies],
    }


def _of_path(error: OSError, words: str) -> Exception:
    """What is wrong with a path, in words; a store that cannot be reached is an OSError too, and says so itself."""
    return error if isinstance(error, DovecoteError) else Refused(words)


def _duration(text: str, option: str) -> timedelta:
    from dovecote.config.values import parse_duration

    try:
        return parse_duration(text)
    except ValueError:
        raise typer.BadParameter(f'"{text}" is no duration: write 30s, 10m, 12h or 7d.', param_hint=option) from None
