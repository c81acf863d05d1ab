"""What journeys through a whole stack share."""

from ibkr_assets_tests.browser import chromium  # noqa: F401 - a fixture
