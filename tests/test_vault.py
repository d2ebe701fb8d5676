"""Tokens at rest: what is sealed opens again, keys rotate, and no token shows."""

from __future__ import annotations

import traceback
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from dovecote.errors import InvalidConfiguration, InvalidToken, TokenUnreadable
from dovecote.model import Bot
from dovecote.vault import Vault, check_token, generate_key, redact

TOKEN = "123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"
SECRET = "AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"
TOKENS = st.from_regex(r"\A[0-9]{3,12}:[A-Za-z0-9_-]{30,50}\Z")


def keys(*texts: str) -> list[SecretStr]:
    return [SecretStr(text) for text in texts]


def bot(*, sealed: str | None = None, variable: str | None = None) -> Bot:
    return Bot(
        id=1, name="shop", token_sealed=sealed, token_variable=variable, created_at=datetime(2026, 1, 1, tzinfo=UTC)
    )


class TestSealing:
    @given(token=TOKENS)
    def test_what_was_sealed_opens(self, token: str) -> None:
        vault = Vault(keys(generate_key()))

        sealed = vault.seal(token)

        assert token not in sealed
        assert vault.open(bot(sealed=sealed), {}) == token

    def test_the_same_token_is_sealed_differently_each_time(self) -> None:
        vault = Vault(keys(generate_key()))

        assert vault.seal(TOKEN) != vault.seal(TOKEN)

    def test_a_bit_that_was_turned_is_found(self) -> None:
        vault = Vault(keys(generate_key()))
        sealed = vault.seal(TOKEN)
        turned = sealed[:40] + ("A" if sealed[40] != "A" else "B") + sealed[41:]

        with pytest.raises(TokenUnreadable):
            vault.open(bot(sealed=turned), {})

    def test_without_a_key_nothing_is_sealed_and_the_remedy_is_said(self) -> None:
        with pytest.raises(InvalidConfiguration, match=r"encryption\.keys and encryption\.keys_file are not set"):
            Vault([]).seal(TOKEN)


class TestRotation:
    def test_an_old_key_behind_a_new_one_still_opens_and_resealing_frees_it(self) -> None:
        old, new = generate_key(), generate_key()
        sealed = Vault(keys(old)).seal(TOKEN)

        resealed = Vault(keys(new, old)).reseal(sealed)

        assert Vault(keys(new, old)).open(bot(sealed=sealed), {}) == TOKEN
        assert Vault(keys(new)).open(bot(sealed=resealed), {}) == TOKEN
        with pytest.raises(TokenUnreadable):
            Vault(keys(new)).open(bot(sealed=sealed), {})

    def test_what_no_key_opens_is_not_resealed(self) -> None:
        sealed = Vault(keys(generate_key())).seal(TOKEN)

        with pytest.raises(TokenUnreadable, match="any of the 2 keys"):
            Vault(keys(generate_key(), generate_key())).reseal(sealed)


class TestOpening:
    def test_a_token_comes_from_the_variable_that_the_bot_names(self) -> None:
        assert Vault([]).open(bot(variable="SHOP_TOKEN"), {"SHOP_TOKEN": f" {TOKEN}\n"}) == TOKEN

    @pytest.mark.parametrize(
        ("environ", "message"),
        [
            ({}, 'bot "shop": the variable SHOP_TOKEN, which should hold its token, is not set: set it.'),
            (
                {"SHOP_TOKEN": " "},
                'bot "shop": the variable SHOP_TOKEN, which should hold its token, is not set: set it.',
            ),
            (
                {"SHOP_TOKEN": SECRET},
                'bot "shop": in the variable SHOP_TOKEN: this is no bot token (it is not shown): its 34',
            ),
        ],
    )
    def test_a_variable_without_a_token_is_named(self, environ: dict[str, str], message: str) -> None:
        with pytest.raises(TokenUnreadable) as raised:
            Vault([]).open(bot(variable="SHOP_TOKEN"), environ)

        assert str(raised.value).startswith(message)

    def test_a_sealed_token_without_keys_names_the_bot_and_the_settings(self) -> None:
        sealed = Vault(keys(generate_key())).seal(TOKEN)

        with pytest.raises(TokenUnreadable, match=r'bot "shop": its token is sealed, and neither encryption\.keys nor'):
            Vault([]).open(bot(sealed=sealed), {})

    @pytest.mark.parametrize("sealed", ["", "rubbish", "gAAAAA", "ü" * 40])
    def test_what_was_never_sealed_is_unreadable(self, sealed: str) -> None:
        with pytest.raises(TokenUnreadable, match='bot "shop"'):
            Vault(keys(generate_key())).open(bot(sealed=sealed), {})


class TestNoTokenShows:
    @pytest.mark.parametrize("text", [SECRET, f"x{TOKEN}", f"{TOKEN} {TOKEN}", f"{TOKEN}!", "12:short", "", "  "])
    def test_the_check_tells_what_is_wrong_without_the_token(self, text: str) -> None:
        with pytest.raises(InvalidToken) as raised:
            check_token(text)

        shown = "".join(traceback.format_exception(raised.value))
        assert "this is no bot token (it is not shown)" in shown
        assert SECRET not in shown
        assert "short" not in str(raised.value)

    def test_digits_of_other_scripts_are_no_digits(self) -> None:
        with pytest.raises(InvalidToken):
            check_token(TOKEN.replace("1", "\N{ARABIC-INDIC DIGIT ONE}"))

    def test_neither_vault_nor_bot_shows_a_key_or_a_token(self) -> None:
        key = generate_key()
        vault = Vault(keys(key))
        sealed = vault.seal(TOKEN)

        assert repr(vault) == "<Vault with 1 key>"
        assert sealed not in repr(bot(sealed=sealed))

    def test_an_exception_of_opening_has_no_chain_that_shows_a_token(self) -> None:
        with pytest.raises(TokenUnreadable) as raised:
            Vault([]).open(bot(variable="SHOP_TOKEN"), {"SHOP_TOKEN": f"{TOKEN}!"})

        assert SECRET not in "".join(traceback.format_exception(raised.value))


class TestRedaction:
    @given(before=st.text(), token=TOKENS, after=st.text())
    def test_no_token_survives_in_any_text(self, before: str, token: str, after: str) -> None:
        assert token.partition(":")[2] not in redact(f"{before}{token}{after}")

    def test_a_token_in_a_url_is_taken_out_and_the_rest_stays(self) -> None:
        assert (
            redact(f"POST https://api.telegram.org/bot{TOKEN}/sendMessage failed")
            == "POST https://api.telegram.org/bot<bot token>/sendMessage failed"
        )

    def test_a_percent_encoded_colon_hides_nothing(self) -> None:
        assert redact(f"/bot{TOKEN.replace(':', '%3A')}/getMe") == "/bot<bot token>/getMe"

    def test_every_token_is_taken_out(self) -> None:
        assert redact(f"{TOKEN}, {TOKEN}") == "<bot token>, <bot token>"

    def test_two_tokens_without_a_gap_are_taken_out(self) -> None:
        assert SECRET not in redact(f"{TOKEN}{TOKEN}")

    def test_a_password_in_a_url_is_taken_out(self) -> None:
        assert (
            redact("connect postgresql://dove:s3cret@db:5432/shop?x=1")
            == "connect postgresql://dove:***@db:5432/shop?x=1"
        )

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "12:34:56",
            "2026-01-01T10:00:00",
            "http://127.0.0.1:8081/x?chat_id=@news",
            "1" * 50,
            "id 123456789: sent",
        ],
    )
    def test_other_text_stays_as_it_is(self, text: str) -> None:
        assert redact(text) == text
