"""What the account holds: executions, cash, positions, snapshots and the looks that reconcile them."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

ACCOUNTS = """
create table oms.execution (
  account_ref text not null references oms.account,
  execution_root text not null,
  revision int not null,
  execution_id text not null,
  intent_id uuid references oms.order_intent,
  client_order_id text,
  broker_order_id text not null,
  conid bigint not null,
  symbol text not null,
  side text not null check (side in ('BUY', 'SELL')),
  quantity numeric(18,4) not null check (quantity >= 0),
  price numeric(18,6) not null check (price >= 0),
  commission numeric(18,6) not null,
  executed_at timestamptz not null,
  seen_at timestamptz not null default clock_timestamp(),
  primary key (account_ref, execution_root, revision)
);
create index execution_by_intent on oms.execution (intent_id);
create view oms.execution_current as
  select distinct on (account_ref, execution_root) *
  from oms.execution
  order by account_ref, execution_root, revision desc;

create table oms.cash_event (
  event_id bigint generated always as identity primary key,
  account_ref text not null references oms.account,
  kind text not null check (kind in ('opening', 'accrual', 'dividend', 'deposit', 'adjustment')),
  amount_usd numeric(20,6) not null,
  detail text not null default '',
  market_at timestamptz not null,
  recorded_at timestamptz not null default clock_timestamp()
);
create unique index one_opening on oms.cash_event (account_ref) where kind = 'opening';

create table oms.position_event (
  event_id bigint generated always as identity primary key,
  account_ref text not null references oms.account,
  kind text not null check (kind in ('opening', 'split', 'adjustment')),
  conid bigint not null,
  symbol text not null,
  quantity numeric(18,4) not null,
  detail text not null default '',
  market_at timestamptz not null,
  recorded_at timestamptz not null default clock_timestamp()
);

create table oms.account_snapshot (
  snapshot_id bigint generated always as identity primary key,
  account_ref text not null references oms.account,
  epoch bigint not null,
  market_at timestamptz not null,
  recorded_at timestamptz not null default clock_timestamp(),
  cash_usd numeric(20,6) not null,
  accrued_dividends_usd numeric(20,6) not null,
  positions_value_usd numeric(20,6) not null,
  nav_platform_usd numeric(20,6) not null,
  nav_broker_usd numeric(20,6) not null,
  broker_cash_usd numeric(20,6) not null,
  positions jsonb not null
);
create index snapshot_by_account on oms.account_snapshot (account_ref, snapshot_id);

create table oms.recon_run (
  run_id bigint generated always as identity primary key,
  account_ref text not null references oms.account,
  epoch bigint not null,
  kind text not null check (kind in ('start', 'watch')),
  gateway_session text not null,
  started_at timestamptz not null default clock_timestamp(),
  finished_at timestamptz,
  market_at timestamptz,
  is_clean boolean,
  orders_seen int,
  trades_seen int,
  breaks_open int
);

create table oms.recon_break (
  break_id bigint generated always as identity primary key,
  account_ref text not null references oms.account,
  kind text not null,
  subject text not null,
  blocks text not null check (blocks in ('nothing', 'conid', 'account')),
  conid bigint,
  intent_id uuid references oms.order_intent,
  detail jsonb not null,
  found_at timestamptz not null default clock_timestamp(),
  resolved_by text,
  resolved_at timestamptz,
  check (blocks <> 'conid' or conid is not null),
  check ((resolved_by is null) = (resolved_at is null))
);
create unique index one_open_break on oms.recon_break (account_ref, kind, subject) where resolved_at is null;
"""


def upgrade() -> None:
    """Create the account's tables."""
    op.execute(ACCOUNTS)


def downgrade() -> None:
    """Refused: an order ledger is not dropped by a tool."""
    raise NotImplementedError("the order ledger is never dropped; restore a backup instead")
