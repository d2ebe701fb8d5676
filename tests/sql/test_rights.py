"""What a role may do that may only enqueue, and whose statements its calls run."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql
from sql_enqueue import one

from dovecote.stores import enqueue_statements

if TYPE_CHECKING:
    from collections.abc import Iterator

    from outboxes import Outbox


class TestRights:
    @pytest.fixture
    def role(self, application: psycopg.Connection) -> Iterator[str]:
        """A role that may call the functions for applications, with a schema of its own that it looks into first."""
        role = f"shop_{application.info.backend_pid}"
        functions = ("enqueue", "enqueue_many")
        for statement in (
            "CREATE ROLE {role}",
            "CREATE SCHEMA {role} AUTHORIZATION {role}",
            "GRANT USAGE ON SCHEMA dovecote TO {role}",
            *(
                f"GRANT EXECUTE ON FUNCTION {function} TO {{role}}"
                for (function,) in application.execute(
                    "SELECT oid::regprocedure::text FROM pg_proc WHERE proname = ANY (%s)", [list(functions)]
                )
            ),
            "SET ROLE {role}",
            "SET search_path = {role}, pg_catalog",
        ):
            application.execute(sql.SQL(statement).format(role=sql.Identifier(role)))
        yield role
        application.execute("RESET ROLE")
        for statement in ("DROP OWNED BY {role} CASCADE", "DROP ROLE {role}"):
            application.execute(sql.SQL(statement).format(role=sql.Identifier(role)))

    @pytest.mark.usefixtures("role")
    async def test_a_role_may_enqueue_and_nothing_else(self, application: psycopg.Connection, outbox: Outbox) -> None:
        written = one(application, "SELECT dovecote.enqueue('shop', 42, 'hello', key => 'a')")

        assert (await outbox.waiting(written)).chat == "42"
        for statement in (
            "SELECT * FROM dovecote.bot",
            "DELETE FROM dovecote.notification",
            "SELECT dovecote.enqueue_rows('[]', false)",
            "SELECT dovecote.write_notifications('[]')",
            "SELECT dovecote.key_window()",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                application.execute(statement)

    async def test_without_a_grant_nobody_calls_them(self, application: psycopg.Connection, role: str) -> None:
        application.execute("RESET ROLE")
        revoke = sql.SQL("REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA dovecote FROM {}")
        application.execute(revoke.format(sql.Identifier(role)))
        application.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))

        for call in (
            "dovecote.enqueue('shop', 42, 'x')",
            "dovecote.enqueue('shop', '42')",
            "dovecote.enqueue_many('[]')",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                one(application, f"SELECT {call}")

    async def test_what_a_role_puts_into_its_own_schema_is_not_found(
        self, application: psycopg.Connection, role: str
    ) -> None:
        application.execute(
            """
            CREATE FUNCTION mine(text, text) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RAISE ''mine''; END';
            CREATE OPERATOR ~ (FUNCTION = mine, LEFTARG = text, RIGHTARG = text);
            CREATE OPERATOR = (FUNCTION = mine, LEFTARG = text, RIGHTARG = text);
            CREATE FUNCTION jsonb_typeof(jsonb) RETURNS text LANGUAGE plpgsql AS 'BEGIN RAISE ''mine''; END';
            CREATE TEMPORARY TABLE notification (id int);
            """
        )
        with pytest.raises(psycopg.errors.RaiseException, match="mine"):
            application.execute("SELECT jsonb_typeof('1'::jsonb)".replace("jsonb_typeof", f"{role}.jsonb_typeof"))

        assert one(application, "SELECT dovecote.enqueue('shop', '@Shop_News', 'hello')") > 0


STATEMENTS = {
    "write_notifications": [
        (enqueue_statements.POSTGRESQL_ENQUEUE, {"rows": "given_rows", "now": "given_now", "window": "given_window"}),
        (enqueue_statements.POSTGRESQL_LOOK_AGAIN, {"keys": "given_keys"}),
    ],
    "check_files": [(enqueue_statements.POSTGRESQL_FILES, {"ids": "file_ids"})],
    "attach_files": [(enqueue_statements.POSTGRESQL_ATTACH, {"rows": "given_rows"})],
}


def test_the_functions_run_the_very_statements_of_python_s_enqueue(application: psycopg.Connection) -> None:
    query = "SELECT prosrc FROM pg_proc WHERE proname = %s AND pronamespace = 'dovecote'::regnamespace"
    for function, statements in STATEMENTS.items():
        source = " ".join(one(application, query, function).split())
        for statement, names in statements:
            expected = " ".join(re.sub(r":(\w+)", partial(_variable, names), statement.named).split())
            assert expected in source, f"a migration has to write {function} anew"


def _variable(names: dict[str, str], name: re.Match[str]) -> str:
    return names[name[1]]
