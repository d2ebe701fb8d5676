"""Files of encryption keys, one a line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pydantic import SecretStr

from dovecote.config.values import fernet_key
from dovecote.errors import InvalidConfiguration

if TYPE_CHECKING:
    from pathlib import Path

MAKE_A_KEY: Final = '`python -c "from dovecote.vault import generate_key; print(generate_key())"`'


def keys_of(path: Path) -> list[SecretStr]:
    """The keys of a file. Raises InvalidConfiguration, with every fault; no message holds a key."""
    where = f'encryption.keys_file is "{path}"'
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise InvalidConfiguration([f"{where}, which cannot be read ({reason}): name a file of Fernet keys."]) from None
    keys: list[SecretStr] = []
    faults: list[str] = []
    for number, line in enumerate(lines, start=1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        try:
            keys.append(fernet_key(SecretStr(text)))
        except ValueError:
            faults.append(f"{where}, and its line {number} is no Fernet key (it is not shown): mend or remove it.")
    if not keys and not faults:
        faults.append(f"{where}, which holds no key: write one into it; {MAKE_A_KEY} makes one.")
    if faults:
        raise InvalidConfiguration(faults)
    return keys
