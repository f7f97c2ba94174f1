"""The page's files are served as they are, on asynchronous and on synchronous servers, without a warning."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.test import AsyncClient, Client

STYLE = django_settings.BASE_DIR / "assets" / "style.css"


@pytest.fixture(params=[True, False], ids=["debug", "no debug"], autouse=True)
def _with_and_without_debug(request: pytest.FixtureRequest, settings: Any) -> None:
    settings.DEBUG = settings.WHITENOISE_AUTOREFRESH = request.param


async def test_an_asynchronous_server_streams_a_file_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        response: Any = await AsyncClient().get("/static/style.css")
        content = b"".join([piece async for piece in response.streaming_content])
    assert content == STYLE.read_bytes()
    assert response.headers["Content-Type"].startswith("text/css")
    assert response.headers["Content-Length"] == str(len(content))
    assert response.headers["X-Content-Type-Options"] == "nosniff"


async def test_a_file_that_did_not_change_is_not_sent_again() -> None:
    first = await AsyncClient().get("/static/style.css")
    again = await AsyncClient().get("/static/style.css", headers={"if-none-match": first.headers["ETag"]})
    assert again.status_code == 304


async def test_a_file_can_be_asked_about() -> None:
    response = await AsyncClient().head("/static/style.css")
    assert response.headers["Content-Length"] == str(STYLE.stat().st_size)


@pytest.mark.django_db  # closing an answer looks after the database's connections
def test_a_synchronous_server_serves_it_too() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        response: Any = Client().get("/static/style.css")
        assert b"".join(response.streaming_content) == STYLE.read_bytes()
        response.close()


@pytest.mark.parametrize(
    "path",
    ["/static/nothing.css", "/static/", "/static/../manage.py", "/static/%2e%2e/manage.py", "/static//etc/passwd"],
)
async def test_nothing_else_is_served(path: str) -> None:
    assert (await AsyncClient().get(path)).status_code == 404


async def test_the_admins_own_files_are_served() -> None:
    assert (await AsyncClient().get("/static/admin/css/base.css")).status_code == 200
