"""The HTTP peer's whole application under granian: accepts every message, as cheaply as an answer can be had.

The answer is what the Bot API says to sendMessage, with all the fields that it always has. The body of the request is
not read: that would be work for the peer, which must never be what is measured. Message ids count the requests.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from granian._granian import RSGIHTTPProtocol
    from granian.rsgi import Scope

_next_id = count(1).__next__
_HEADERS = [("content-type", "application/json")]
BEFORE = '{"ok":true,"result":{"message_id":'
AFTER = (
    ',"from":{"id":123456789,"is_bot":true,"first_name":"Shop","username":"shop_bot"},'
    '"chat":{"id":100000001,"first_name":"Ada","last_name":"Lovelace","username":"ada","type":"private"},'
    '"date":1767225600,"text":"Your order 1 is on its way and will be with you tomorrow before noon."}}'
)


async def app(_scope: Scope, protocol: RSGIHTTPProtocol) -> None:
    """Answer one request."""
    protocol.response_str(200, _HEADERS, f"{BEFORE}{_next_id()}{AFTER}")
