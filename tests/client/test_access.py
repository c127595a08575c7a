"""Where the client sends its key, and where the key never goes."""

import asyncio
import logging
import pickle
import traceback
from datetime import timedelta

import httpx
import pytest

from django_flare import FlareApiError, FlareError, FlareOptionError
from django_flare.client import AsyncFlareClient, FlareClient
from django_flare.client.access import DEFAULT_TIMEOUT
from tests.client.support import ID, JOB, KEY, URL, Server, answer, connect, connect_async

BOTH = [FlareClient, AsyncFlareClient]


@pytest.mark.parametrize("kind", BOTH)
class TestArguments:
    @pytest.mark.parametrize(
        "url",
        [
            "",
            "flare.example/flare",
            "/flare/",
            "ftp://flare.example/",
            "https://",
            "https:///flare",
            "https://flare.example:port/",
            "https://flare.example:99999/",
            "https://ada:secret@flare.example/",
            "https://ada@flare.example/",
            "https://flare.example/?a=b",
            "https://flare.example/#a",
            "https://flare.example/\x00",
            "https://[flare/",
            None,
            5,
            b"https://flare.example/",
            httpx.URL("https://flare.example/"),
        ],
    )
    def test_a_bad_address_is_refused(self, kind, url):
        with pytest.raises(FlareOptionError, match="base_url: ") as caught:
            kind(url, KEY)
        assert "secret" not in str(caught.value)

    @pytest.mark.parametrize("key", ["", " ", f"{KEY}\n", f"{KEY} {KEY}", "schlüssel", "\x00", None, 5, b"k"])
    def test_a_bad_key_is_refused_and_not_shown(self, kind, key):
        with pytest.raises(FlareOptionError, match="api_key: ") as caught:
            kind(URL, key)
        assert KEY not in str(caught.value)

    @pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), "10", None, True, timedelta(0)])
    def test_a_bad_timeout_is_refused(self, kind, timeout):
        with pytest.raises(FlareOptionError, match="timeout: "):
            kind(URL, KEY, timeout=timeout)

    def test_it_says_where_it_leads_and_not_with_which_key(self, kind):
        assert repr(kind(URL, KEY)) == str(kind(URL, KEY)) == f"{kind.__name__}('{URL}')"


@pytest.mark.parametrize("url", ["http://localhost:8000/flare", "http://localhost:8000/flare/"])
def test_a_slash_at_the_end_is_all_the_same(url):
    server = Server(answer())
    FlareClient(url, KEY, transport=httpx.MockTransport(server)).get_status(ID)
    assert str(server.request.url) == f"http://localhost:8000/flare/v1/jobs/{ID}"


def test_the_api_may_be_at_the_root():
    server = Server(answer())
    FlareClient("https://[::1]:8000", KEY, transport=httpx.MockTransport(server)).get_status(ID)
    assert str(server.request.url) == f"https://[::1]:8000/v1/jobs/{ID}"


@pytest.mark.parametrize(
    ("options", "seconds"),
    [({}, DEFAULT_TIMEOUT), ({"timeout": 3}, 3), ({"timeout": timedelta(minutes=1)}, 60)],
)
def test_each_wait_has_an_end(options, seconds):
    server = Server(answer())
    connect(server, **options)[0].get_status(ID)
    assert set(server.request.extensions["timeout"].values()) == {seconds}


def test_the_default_is_longer_than_the_servers_wait_for_a_twin():
    from django_flare.api.replay import PATIENCE

    assert DEFAULT_TIMEOUT > PATIENCE


class TestTheKeyIsASecret:
    def test_it_is_in_no_error(self):
        for trouble in (httpx.ConnectError("refused"), httpx.Response(500), answer({}, 401)):
            with pytest.raises(FlareError) as caught:
                connect(Server(trouble))[0].get_status(ID)
            shown = "".join(traceback.format_exception(caught.value)) + repr(vars(caught.value))
            assert "secret" not in shown

    def test_it_is_in_no_log(self, caplog):
        caplog.set_level(logging.DEBUG)
        connect(Server(answer()))[0].get_status(ID)
        assert caplog.records
        assert "secret" not in caplog.text

    def test_it_is_in_no_attribute_as_text(self):
        client = connect(Server(answer()))[0]
        assert "secret" not in repr(vars(client)) + repr(vars(client._http))

    def test_a_client_cannot_be_pickled_with_it(self):
        with pytest.raises((TypeError, AttributeError, pickle.PicklingError)):
            pickle.dumps(FlareClient(URL, KEY))

    def test_it_does_not_follow_a_redirect(self):
        server = Server(httpx.Response(302, headers={"Location": "https://elsewhere.example/"}))
        with pytest.raises(FlareApiError):
            connect(server)[0].get_status(ID)
        assert server.request.url.host == "flare.example"

    def test_cookies_that_a_server_sets_do_not_sign_in(self):
        """A session beside the key would be somebody else's."""
        server = Server(answer(JOB, 200, Set_Cookie="sessionid=1; Path=/"))
        client, _ = connect(server)
        client.get_status(ID)
        client.get_status(ID)
        assert [request.headers.get("Cookie") for request in server.requests] == [None, None]


class TestClosing:
    def test_the_block_closes_it(self):
        client, _ = connect(Server(answer()))
        with client as entered:
            assert entered is client
            client.get_status(ID)
        with pytest.raises(RuntimeError, match="closed"):
            client.get_status(ID)

    def test_close_does_and_may_be_repeated(self):
        client, _ = connect(Server(answer()))
        client.close()
        client.close()
        with pytest.raises(RuntimeError, match="closed"):
            client.get_status(ID)

    def test_so_with_the_other_client(self):
        async def story():
            client, _ = connect_async(Server(answer()))
            async with client as entered:
                assert entered is client
                assert (await client.get_status(ID)).job_id == ID
            await client.close()
            with pytest.raises(RuntimeError, match="closed"):
                await client.get_status(ID)

        asyncio.run(story())
