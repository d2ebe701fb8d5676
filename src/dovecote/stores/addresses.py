"""What may stand behind the `?` of a database's URL. Pure, and quick to import."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import URL

AMBIGUOUS: Final = "it has more than one @: write one in a name or a password as %40"
SSL_MODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
# Those of libpq that the driver understands as libpq does. Whatever else it would take for a setting of the server.
POSTGRESQL_PARAMETERS: Final = (
    *("sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl"),
    *("host", "port", "passfile", "target_session_attrs", "application_name"),
)


def is_ambiguous(url: str) -> bool:
    """Whether an `@` stands in its user's name or password as it is: what follows would pass for the host."""
    return urlsplit(url).netloc.count("@") > 1


def parameter_faults(query: Mapping[str, object], *, is_postgresql: bool) -> list[str]:
    """What is wrong with the parameters of a URL, as parts of a sentence; no value but an `sslmode` is in them."""
    known = POSTGRESQL_PARAMETERS if is_postgresql else ()
    takes = f"known are {', '.join(known)}" if known else "SQLite's URL takes none"
    faults = [f'it has the unknown parameter "{name}" ({takes})' for name in query if name not in known]
    mode = query.get("sslmode")
    if is_postgresql and mode is not None and mode not in SSL_MODES:
        faults.append(f"its sslmode is {mode!r}, and there are {', '.join(SSL_MODES)}")
    return faults


def place_of(url: URL) -> str:
    """The words for the database of a URL: where it is, and nothing of who enters."""
    if url.get_backend_name() == "sqlite":
        return f"the database {url.database}"
    host, port = (url.query.get(name) or getattr(url, name) for name in ("host", "port"))
    shown = [part if isinstance(part, str | int) else ",".join(part) for part in (host or "localhost", port or 5432)]
    return f"the database at {shown[0]}:{shown[1]}"
