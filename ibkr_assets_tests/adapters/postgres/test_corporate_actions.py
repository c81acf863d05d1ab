"""Corporate actions on the real database: in versions, and as they were known at an instant."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import psycopg
import pytest

from ibkr_assets.adapters.postgres.bars import PostgresBars
from ibkr_assets.adapters.postgres.connection import Database
from ibkr_assets.adapters.postgres.corporate_actions import PostgresCorporateActions
from ibkr_assets.domain.errors import InputError
from ibkr_assets.market.adjustment import ActionKind, CorporateAction
from ibkr_assets_tests.fakes.tape import CONIDS, INSTRUMENTS

MSFT = CONIDS["MSFT"]
SPLIT = CorporateAction(MSFT, date(2003, 2, 18), ActionKind.SPLIT, Decimal(2))
FIRST = datetime(2003, 2, 18, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def actions(database: Database) -> PostgresCorporateActions:
    PostgresBars(database).save_instruments([INSTRUMENTS["MSFT"]])
    return PostgresCorporateActions(database)


def save(actions: PostgresCorporateActions, action: CorporateAction, known_from: datetime) -> bool:
    return actions.save(action, source="issuer", actor="anna", known_from=known_from)


def test_an_action_its_correction_and_its_withdrawal_are_read_as_of_then(actions: PostgresCorporateActions) -> None:
    wrong = replace(SPLIT, value=Decimal("1.5"))
    assert save(actions, wrong, FIRST)
    assert save(actions, SPLIT, FIRST + DAY)
    assert not save(actions, SPLIT, FIRST + DAY), "what is known so is not stored again"
    actions.withdraw(SPLIT, source="issuer", actor="anna", known_from=FIRST + 2 * DAY)
    assert actions.load([MSFT], as_of=FIRST - DAY) == []
    assert actions.load([MSFT], as_of=FIRST) == [wrong]
    assert actions.load([MSFT], as_of=FIRST + DAY) == [SPLIT]
    assert actions.load([MSFT]) == []
    with pytest.raises(InputError, match="not known"):
        actions.withdraw(SPLIT, source="issuer", actor="anna", known_from=FIRST + 3 * DAY)


def test_an_action_is_never_changed(actions: PostgresCorporateActions, database: Database) -> None:
    save(actions, SPLIT, FIRST)
    with pytest.raises(psycopg.errors.IntegrityError, match="never changed"), database.connect() as connection:
        connection.execute("update md.corporate_action set ratio = 3")


def test_those_who_decide_may_add_one(actions: PostgresCorporateActions, database_url_of) -> None:
    app = Database(database_url_of("ibkr_app"))
    assert save(PostgresCorporateActions(app), SPLIT, FIRST)
    app.close()
