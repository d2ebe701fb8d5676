"""What the emulator lacks, and why: whoever calls such a method learns that it is the emulator that has none."""

from __future__ import annotations

from typing import Final

_EPHEMERAL: Final = "it has no ephemeral messages, those that one member of a group alone sees"
_GIFTS: Final = "it has no gifts"
_MANAGED: Final = "it has no bots that manage other bots"
_PASSPORT: Final = "it has no Telegram Passport"
_RICH: Final = "it does not parse the markup of rich messages"
_STARS: Final = "nobody has Stars in it"
_STICKERS: Final = "it has no stickers of Telegram's own"
_STORIES: Final = "it has no stories"
_SUGGESTED: Final = "it has no suggested posts"
_TAGS: Final = "it has no tags of members"
_VERIFIED: Final = "it verifies nobody"
_WEB_APPS: Final = "it has no web apps, whose queries these answer"

_BY_REASON: Final[dict[str, tuple[str, ...]]] = {
    _EPHEMERAL: (
        "deleteEphemeralMessage",
        "editEphemeralMessageCaption",
        "editEphemeralMessageMedia",
        "editEphemeralMessageReplyMarkup",
        "editEphemeralMessageText",
    ),
    _GIFTS: (
        "convertGiftToStars",
        "getAvailableGifts",
        "getBusinessAccountGifts",
        "getChatGifts",
        "getUserGifts",
        "giftPremiumSubscription",
        "sendGift",
        "transferGift",
        "upgradeGift",
    ),
    _MANAGED: (
        "getManagedBotAccessSettings",
        "getManagedBotToken",
        "replaceManagedBotToken",
        "setManagedBotAccessSettings",
    ),
    _PASSPORT: ("setPassportDataErrors",),
    _RICH: ("sendRichMessage", "sendRichMessageDraft"),
    _STARS: ("editUserStarSubscription", "refundStarPayment"),
    _STICKERS: ("getForumTopicIconStickers",),
    _STORIES: ("deleteStory", "editStory", "postStory", "repostStory"),
    _SUGGESTED: ("approveSuggestedPost", "declineSuggestedPost"),
    _TAGS: ("setChatMemberTag",),
    _VERIFIED: ("removeChatVerification", "removeUserVerification", "verifyChat", "verifyUser"),
    _WEB_APPS: (
        "answerChatJoinRequestQuery",
        "answerGuestQuery",
        "answerWebAppQuery",
        "savePreparedInlineMessage",
        "savePreparedKeyboardButton",
        "sendChatJoinRequestWebApp",
    ),
    "people have no settings of their own in it": ("getUserPersonalChatMessages", "setUserEmojiStatus"),
}
LACKING: Final = {name: reason for reason, names in _BY_REASON.items() for name in names}
REASONS: Final = {name.lower(): reason for name, reason in LACKING.items()}
