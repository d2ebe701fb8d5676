"""What the emulator lacks, and why: whoever calls such a method learns that it is the emulator that has none."""

from __future__ import annotations

from typing import Final

_GIFTS: Final = "its gifts stay with whoever was given them, and as they are"
_MANAGED: Final = "it has no bots that manage other bots"
_PASSPORT: Final = "it has no Telegram Passport"
_STARS: Final = "no Stars move in it but a bot's own, for gifts"
_STICKERS: Final = "it has no stickers of Telegram's own"
_SUGGESTED: Final = "it has no suggested posts"
_TAGS: Final = "it has no tags of members"
_VERIFIED: Final = "it verifies nobody"
_WEB_APPS: Final = "it has no web apps, whose queries these answer"

_BY_REASON: Final[dict[str, tuple[str, ...]]] = {
    _GIFTS: ("convertGiftToStars", "transferGift", "upgradeGift"),
    _MANAGED: (
        "getManagedBotAccessSettings",
        "getManagedBotToken",
        "replaceManagedBotToken",
        "setManagedBotAccessSettings",
    ),
    _PASSPORT: ("setPassportDataErrors",),
    _STARS: ("refundStarPayment",),
    _STICKERS: ("getForumTopicIconStickers",),
    _SUGGESTED: ("approveSuggestedPost", "declineSuggestedPost"),
    _TAGS: ("setChatMemberTag",),
    _VERIFIED: ("removeChatVerification", "removeUserVerification", "verifyChat", "verifyUser"),
    _WEB_APPS: (
        "answerGuestQuery",
        "answerWebAppQuery",
        "savePreparedInlineMessage",
        "savePreparedKeyboardButton",
    ),
    "people have no settings of their own in it": ("getUserPersonalChatMessages", "setUserEmojiStatus"),
}
LACKING: Final = {name: reason for reason, names in _BY_REASON.items() for name in names}
REASONS: Final = {name.lower(): reason for name, reason in LACKING.items()}
