"""What a rule said, as a person reads it on a page."""

from __future__ import annotations

import pytest

from ibkr_assets.dashboard.rendering import cents


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (
            "cash: 12101.2000 USD are needed with the reserve; -1234.005678 USD are free",
            "cash: 12,101.20 USD are needed with the reserve; -1,234.01 USD are free",
        ),
        ("limit 634.25 is 19.0275 from the reference 653.2775; allowed are 12", None),
        (
            "exposure to AAPL1 could reach 5 USD; allowed are 4 USDX",
            "exposure to AAPL1 could reach 5.00 USD; allowed are 4 USDX",
        ),
        ("net exposure could reach 100.001 USD; allowed are 100.0004 USD", None),
        (
            "net exposure could reach 100.10 USD; allowed are 100.1 USD",
            "net exposure could reach 100.10 USD; allowed are 100.10 USD",
        ),
        ("the market is closed", None),
    ],
)
def test_amounts_of_a_sentence_are_whole_cents_unless_two_would_look_the_same(said: str, shown: str | None) -> None:
    assert cents(said) == (said if shown is None else shown)


def test_no_sentence_is_none() -> None:
    assert cents(None) == ""
