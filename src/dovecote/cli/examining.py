"""`doctor`: what is wrong, and what helps."""

from typing import TYPE_CHECKING

import typer

from dovecote.cli.context import check_file, on_database, settings_of
from dovecote.cli.output import NONE, note, say_json, say_table
from dovecote.cli.pages import AsJson

if TYPE_CHECKING:
    from dovecote.model import Finding

FOUND_PROBLEMS = 1


def register(app: typer.Typer) -> None:
    """Add this command to the program."""
    app.command(epilog="Example: dovecote doctor --json")(doctor)


def doctor(context: typer.Context, *, as_json: AsJson = False) -> None:
    """Examine the database, leader, Redis, storage and every bot, and say what helps. Ends with 1 where one fails."""
    from dovecote.doctor import examine, problem_of
    from dovecote.errors import NotMigrated
    from dovecote.model import Severity

    settings = settings_of(context)
    findings: list[Finding]
    try:
        check_file(settings)
    except NotMigrated as error:  # What is found is told in one form, and to open the file would make it.
        findings = [problem_of("database", error)]
    else:
        findings = on_database(context, settings, examine)
    if as_json:
        say_json(findings)
    else:
        say_table(
            ["", "subject", "found", "remedy"],
            [[each.severity.value, each.subject, each.found, each.remedy or NONE] for each in findings],
        )
        bad = [each for each in findings if each.severity is not Severity.OK]
        examined = "1 examination" if len(findings) == 1 else f"{len(findings)} examinations"
        note(f"{examined}, {len(bad)} to look at." if bad else "All is in order.")
    if any(each.severity is Severity.PROBLEM for each in findings):
        raise typer.Exit(FOUND_PROBLEMS)
