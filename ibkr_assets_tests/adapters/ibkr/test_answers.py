"""Every error body becomes the right error, and none an empty result."""

from __future__ import annotations

import pytest

from ibkr_assets.adapters.ibkr.answers import accept
from ibkr_assets.adapters.ibkr.transport import Answer
from ibkr_assets.domain.errors import BrokerRefusal, LoginRequired, PlatformError, Unavailable, UnreadableAnswer


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 502, 503])
@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"error":"Bad Request: no bridge","statusCode":400}', "json"),
        (b'{"error":"Please query /accounts first"}', "json"),
        (b'{"error":"Please query /portfolio/accounts first"}', "json"),
        (b'{"error":"Too many history charts requests, please try again later."}', "json"),
        (b'{"error":"Service Unavailable","statusCode":503}', "json"),
        (b'{"error":"Chart data unavailable"}', "json"),
        (b'{"error":"accountId is not valid: U1234567"}', "json"),
        (b'{"error":"no session"}', "json"),
        (b"Init session first", "text"),
        (b"", "json"),
        (b"[]", "json"),
        (b"<html>Log in</html>", "html"),
    ],
)
def test_no_error_becomes_an_empty_result(status: int, body: bytes, kind: str) -> None:
    content_type = {"json": "application/json", "text": "text/plain", "html": "text/html"}[kind]
    with pytest.raises(PlatformError) as caught:
        accept(Answer(status, content_type, body), "x")
    assert "U1234567" not in str(caught.value)
    is_login = status not in (500, 502, 503) and (status == 401 or kind == "html")
    assert isinstance(caught.value, LoginRequired) == is_login
    if b"no bridge" in body or b"Please query" in body or b"Init session" in body:
        assert isinstance(caught.value, Unavailable)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"error":"Chart data unavailable"}', BrokerRefusal),
        (b'{"error":"no bridge"}', Unavailable),
        (b"", UnreadableAnswer),
        (b"<html>Log in</html>", LoginRequired),
        (b"null]", UnreadableAnswer),
    ],
)
def test_a_200_that_is_an_error_is_one(body: bytes, kind: type[PlatformError]) -> None:
    with pytest.raises(kind):
        accept(Answer(200, "application/json", body), "x")
