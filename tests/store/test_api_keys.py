"""Keys of the HTTP API: made once, kept as a digest, refused when they should be (reliability 4.1, API2)."""

import hashlib
import logging
import re
from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from django_flare.models import ApiKey
from django_flare.store import api_keys
from django_flare.store.clock import read_now
from tests.support import USING

pytestmark = pytest.mark.django_db


def in_seconds(seconds):
    return read_now(USING) + timedelta(seconds=seconds)


def statements(work):
    with CaptureQueriesContext(connection) as captured:
        work()
    return [query["sql"] for query in captured.captured_queries]


class TestAKey:
    def test_has_the_form_and_is_kept_as_a_digest_alone(self):
        new = api_keys.issue("shop", ["read"])
        assert re.fullmatch(r"flare_[0-9a-f]{16}_[0-9a-f]{64}", new.text)
        row = ApiKey.objects.filter(name="shop").values().get()
        assert row["digest"] == hashlib.sha256(new.text.encode()).hexdigest()
        assert new.text.split("_")[2] not in str(row)

    def test_no_two_are_alike(self):
        texts = [api_keys.issue(f"key {number}", ["read"]).text for number in range(50)]
        for part in (1, 2):
            assert len({text.split("_")[part] for text in texts}) == 50

    def test_shows_its_secret_in_no_log_and_no_representation(self, caplog):
        caplog.set_level(logging.DEBUG)
        caplog.set_level(logging.DEBUG, "django.db.backends")
        connection.force_debug_cursor = True
        try:
            new = api_keys.issue("shop", ["read"])
            api_keys.verify(new.text)
            other = api_keys.rotate("shop")
        finally:
            connection.force_debug_cursor = False
        shown = f"{new!r} {new.key!r} {new.key} {other!r} {caplog.text}"
        assert "django_flare_apikey" in caplog.text
        for text in (new.text, other.text):
            assert text.split("_")[2] not in shown

    @pytest.mark.parametrize(
        ("given", "granted"),
        [
            (["read"], ("read",)),
            (["write"], ("read", "write")),
            (["read", "write"], ("read", "write")),
            (["admin"], ("read", "write", "admin")),
        ],
    )
    def test_has_the_scopes_that_are_included(self, given, granted):
        key = api_keys.issue("shop", given).key
        assert key.scopes == granted
        assert [key.allows(scope) for scope in ("read", "write", "admin")] == [
            scope in granted for scope in ("read", "write", "admin")
        ]

    @pytest.mark.parametrize("scopes", [[], ["root"], ["read", ""], ["READ"]])
    def test_needs_known_scopes(self, scopes):
        with pytest.raises(ValueError, match=r"^scope: .*expected one or several of read, write, admin"):
            api_keys.issue("shop", scopes)
        assert not ApiKey.objects.exists()

    @pytest.mark.parametrize("name", ["", " shop", "a\nb", "a\0b", "x" * 101, "\ud800"])
    def test_needs_a_name_that_can_be_read(self, name):
        with pytest.raises(ValidationError) as caught:
            api_keys.issue(name, ["read"])
        assert list(caught.value.message_dict) == ["name"]
        assert not ApiKey.objects.exists()

    def test_has_a_name_of_its_own(self):
        api_keys.issue("shop", ["read"])
        with pytest.raises(ValidationError):
            api_keys.issue("shop", ["read"])
        assert api_keys.issue("Shop", ["read"])

    def test_expires_ahead(self):
        with pytest.raises(ValidationError, match="Enter a time ahead"):
            api_keys.issue("shop", ["read"], in_seconds(-60))
        assert not ApiKey.objects.exists()


class TestVerification:
    def test_of_the_right_text(self):
        new = api_keys.issue("shop", ["write"])
        assert api_keys.verify(new.text) == new.key

    def test_of_a_wrong_secret_or_an_unknown_id(self):
        text = api_keys.issue("shop", ["read"]).text
        other = api_keys.issue("other", ["read"]).text
        head, public_id, secret = text.split("_")
        for wrong in (
            f"{head}_{public_id}_{other.split('_')[2]}",
            f"{head}_{other.split('_')[1]}_{secret}",
            f"{head}_{'0' * 16}_{secret}",
            f"{head}_{public_id}_{'0' * 64}",
        ):
            assert api_keys.verify(wrong) is None

    @pytest.mark.parametrize(
        "change",
        [
            lambda text: "",
            lambda text: text.upper(),
            lambda text: text + "\n",
            lambda text: " " + text,
            lambda text: text[:-1],
            lambda text: text + "0",
            lambda text: text.replace("flare_", "flare-"),
            lambda text: text.replace("flare_", ""),
            lambda text: text[:-1] + "٣",
            lambda text: text[:-1] + "\0",
            lambda text: "x" * 10_000,
        ],
    )
    def test_of_another_form_asks_no_database(self, change):
        text = api_keys.issue("shop", ["read"]).text
        assert statements(lambda: api_keys.verify(change(text))) == []
        assert api_keys.verify(change(text)) is None

    def test_does_the_same_work_for_an_unknown_id(self, monkeypatch):
        """Counted, not timed: one statement, one digest, two comparisons."""
        text = api_keys.issue("shop", ["read"]).text
        compared = []
        compare = api_keys.secrets.compare_digest
        monkeypatch.setattr(
            api_keys.secrets, "compare_digest", lambda *pair: compared.append(pair) or compare(*pair)
        )
        costs = []
        for wrong in (f"flare_{'0' * 16}_{'0' * 64}", f"{text[:-64]}{'0' * 64}"):
            compared.clear()
            costs.append(len(statements(lambda wrong=wrong: api_keys.verify(wrong))))
            assert [tuple(map(len, pair)) for pair in compared] == [(64, 64), (64, 64)]
        assert costs == [1, 1]

    def test_ends_at_the_moment_of_expiry(self, clock):
        text = api_keys.issue("shop", ["read"], in_seconds(60)).text
        clock.advance(59)
        assert api_keys.verify(text)
        clock.advance(1)
        assert api_keys.verify(text) is None

    def test_ends_with_the_revocation(self):
        text = api_keys.issue("shop", ["read"]).text
        assert api_keys.revoke("shop") is True
        assert api_keys.verify(text) is None
        assert api_keys.revoke("shop") is False
        assert api_keys.revoke("unknown") is False


class TestRotation:
    def test_replaces_the_secret_at_once(self):
        before = api_keys.issue("shop", ["write"])
        after = api_keys.rotate("shop")
        assert api_keys.verify(before.text) is None
        assert api_keys.verify(after.text) == before.key
        assert after.text.split("_")[1] == before.text.split("_")[1]
        assert after.key.scopes == ("read", "write")

    def test_may_overlap(self, clock):
        before = api_keys.issue("shop", ["read"]).text
        after = api_keys.rotate("shop", timedelta(seconds=60)).text
        clock.advance(59)
        assert api_keys.verify(before) == api_keys.verify(after) == ApiKey.objects.get()
        clock.advance(1)
        assert api_keys.verify(before) is None
        assert api_keys.verify(after)

    def test_once_more_ends_the_overlap_of_the_first(self):
        first = api_keys.issue("shop", ["read"]).text
        second = api_keys.rotate("shop", timedelta(hours=1)).text
        third = api_keys.rotate("shop").text
        assert [bool(api_keys.verify(text)) for text in (first, second, third)] == [False, False, True]

    def test_is_followed_by_a_revocation_of_both(self):
        before = api_keys.issue("shop", ["read"]).text
        after = api_keys.rotate("shop", timedelta(hours=1)).text
        api_keys.revoke("shop")
        assert (api_keys.verify(before), api_keys.verify(after)) == (None, None)

    def test_does_not_outlive_the_expiry(self, clock):
        before = api_keys.issue("shop", ["read"], in_seconds(60)).text
        after = api_keys.rotate("shop", timedelta(hours=1)).text
        clock.advance(60)
        assert (api_keys.verify(before), api_keys.verify(after)) == (None, None)

    def test_needs_a_valid_key(self, clock):
        api_keys.issue("late", ["read"], in_seconds(60))
        api_keys.issue("revoked", ["read"])
        api_keys.revoke("revoked")
        clock.advance(60)
        assert [api_keys.rotate(name) for name in ("late", "revoked", "unknown")] == [None] * 3


class TestTheLastUse:
    def test_is_written_at_most_once_a_minute(self, clock):
        text = api_keys.issue("shop", ["read"]).text

        def use():
            api_keys.touch(api_keys.verify(text))
            return ApiKey.objects.get().last_used_at

        first = use()
        assert first == read_now(USING)
        clock.advance(59)
        assert len(statements(use)) == 2
        assert use() == first
        clock.advance(1)
        assert use() == first + timedelta(seconds=60)

    def test_is_written_once_by_two_that_looked_at_the_same_time(self, clock):
        text = api_keys.issue("shop", ["read"]).text
        one, two = api_keys.verify(text), api_keys.verify(text)
        api_keys.touch(one)
        first = ApiKey.objects.get().last_used_at
        clock.advance(30)
        api_keys.touch(two)
        assert ApiKey.objects.get().last_used_at == first


@pytest.mark.parametrize(
    "wrong",
    [
        lambda other: {"name": ""},
        lambda other: {"name": other.name},
        lambda other: {"public_id": other.public_id},
        lambda other: {"scope": "root"},
        lambda other: {"expires_at": in_seconds(-3600)},
        lambda other: {"previous_digest": other.digest},
        lambda other: {"previous_valid_until": in_seconds(60)},
    ],
)
def test_the_database_refuses_what_no_key_can_be(wrong):
    values = wrong(api_keys.issue("other", ["read"]).key)
    api_keys.issue("shop", ["read"])
    with pytest.raises(IntegrityError), transaction.atomic():
        ApiKey.objects.filter(name="shop").update(**values)
