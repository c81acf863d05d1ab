"""The order ledger: what was decided, what was sent, and what came back.

Tables only. What the account holds is in 0004, what the database refuses in 0005, who may do what in 0006. Money and
quantities are `numeric`; `market_at` columns carry the market clock, all other instants the database's own.
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

PERMISSION = """
create schema oms;

create table oms.account (
  account_ref text primary key,
  broker_account text unique,
  mode text check (mode in ('dry_run', 'sim', 'paper', 'live')),
  registered_at timestamptz not null default clock_timestamp()
);

create table oms.control (
  control_id bigint generated always as identity primary key,
  scope text not null check (scope ~ '^(global|(account|strategy)[:][^ ]+|conid[:][0-9]+)$'),
  action text not null check (action in ('arm', 'disarm', 'kill', 'kill_cancel', 'resume')),
  actor text not null check (actor <> ''),
  reason text not null check (reason <> ''),
  at timestamptz not null default clock_timestamp(),
  expires_at timestamptz,
  check (action <> 'arm' or expires_at is not null)
);
create index control_by_scope on oms.control (scope, control_id);

create table oms.writer_lease (
  account_ref text primary key references oms.account,
  epoch bigint not null check (epoch > 0),
  holder text not null,
  renewed_at timestamptz not null default clock_timestamp()
);

create table oms.heartbeat (
  account_ref text primary key references oms.account,
  epoch bigint,
  status text not null,
  detail text not null default '',
  market_at timestamptz,
  at timestamptz not null default clock_timestamp()
);
"""

STATES = """
create table oms.state (
  name text primary key,
  is_terminal boolean not null,
  holds_risk boolean not null
);
insert into oms.state (name, is_terminal, holds_risk) values
  ('PROPOSED', false, false), ('DENIED', true, false), ('APPROVED', false, true), ('SUBMITTING', false, true),
  ('QUESTION', false, true), ('CONFIRMING', false, true), ('UNKNOWN', false, true), ('ACKED', false, true),
  ('WORKING', false, true), ('CANCEL_PENDING', false, true), ('CANCEL_UNKNOWN', false, true),
  ('FILLED', true, false), ('CANCELLED', true, false), ('REJECTED', true, false),
  ('EXPIRED_UNSENT', true, false), ('NOT_PLACED', true, false);

create table oms.transition (
  from_state text not null references oms.state,
  to_state text not null references oms.state,
  primary key (from_state, to_state)
);
insert into oms.transition (from_state, to_state)
select source, unnest(string_to_array(targets, ' '))
from (values
  ('PROPOSED', 'APPROVED DENIED EXPIRED_UNSENT'),
  ('APPROVED', 'SUBMITTING EXPIRED_UNSENT DENIED'),
  ('SUBMITTING', 'QUESTION ACKED REJECTED UNKNOWN'),
  ('QUESTION', 'CONFIRMING REJECTED UNKNOWN'),
  ('CONFIRMING', 'QUESTION ACKED REJECTED UNKNOWN'),
  ('UNKNOWN', 'ACKED WORKING FILLED CANCELLED REJECTED NOT_PLACED APPROVED'),
  ('ACKED', 'WORKING FILLED CANCELLED REJECTED CANCEL_PENDING UNKNOWN'),
  ('WORKING', 'FILLED CANCELLED REJECTED CANCEL_PENDING UNKNOWN'),
  ('CANCEL_PENDING', 'CANCELLED FILLED WORKING CANCEL_UNKNOWN'),
  ('CANCEL_UNKNOWN', 'CANCELLED FILLED WORKING'),
  ('CANCELLED', 'FILLED WORKING'),
  ('REJECTED', 'WORKING FILLED CANCELLED'),
  ('NOT_PLACED', 'WORKING FILLED CANCELLED')
) as allowed (source, targets);
"""

INTENTS = """
create table oms.plan (
  account_ref text not null references oms.account,
  mode text not null check (mode in ('dry_run', 'sim', 'paper', 'live')),
  strategy_id text not null,
  signal_bar_end timestamptz not null,
  conid bigint not null check (conid > 0),
  strategy_version int not null,
  session_date date not null,
  signal_sha256 text not null,
  signal jsonb not null,
  held_and_working numeric(18,4) not null,
  nav_usd numeric(20,6) not null,
  intents jsonb not null,
  dagster_run_id text,
  planned_at timestamptz not null default clock_timestamp(),
  primary key (account_ref, mode, strategy_id, signal_bar_end, conid)
);

create table oms.order_intent (
  intent_id uuid primary key default gen_random_uuid(),
  decision_key text not null unique,
  client_order_id text not null unique check (client_order_id ~ '^q1-[a-z2-7]{26}$'),
  payload_sha256 text not null,
  account_ref text not null references oms.account,
  strategy_id text not null,
  mode text not null check (mode in ('dry_run', 'sim', 'paper', 'live')),
  conid bigint not null check (conid > 0),
  symbol text not null,
  side text not null check (side in ('BUY', 'SELL')),
  order_type text not null check (order_type in ('LMT', 'MKT')),
  quantity numeric(18,4) not null check (quantity > 0 and quantity = trunc(quantity)),
  limit_price numeric(18,6) check (limit_price > 0),
  time_in_force text not null check (time_in_force in ('DAY', 'OPG', 'IOC')),
  reference_price numeric(18,6) not null check (reference_price > 0),
  session_date date not null,
  signal_bar_end timestamptz not null,
  valid_until timestamptz not null,
  purpose text not null,
  leg int not null,
  generation int not null check (generation >= 0),
  state text not null references oms.state,
  state_at timestamptz not null default clock_timestamp(),
  version int not null default 0,
  epoch bigint,
  send_count int not null default 0 check (send_count between 0 and 2),
  broker_order_id text,
  filled numeric(18,4) not null default 0 check (filled >= 0),
  average_price numeric(18,8),
  unknown_since timestamptz,
  reason text not null default '',
  cause text not null,
  cause_detail jsonb not null default '{}',
  dagster_run_id text,
  created_by text not null,
  created_at timestamptz not null default clock_timestamp(),
  check (order_type <> 'LMT' or limit_price is not null),
  check ((state = 'UNKNOWN') = (unknown_since is not null)),
  check (state <> 'FILLED' or filled >= quantity)
);
create unique index one_in_flight on oms.order_intent (account_ref)
  where state in ('SUBMITTING', 'QUESTION', 'CONFIRMING');
create unique index one_broker_order on oms.order_intent (account_ref, broker_order_id)
  where broker_order_id is not null;
create index intent_by_session on oms.order_intent (session_date, strategy_id);
create index intent_by_account on oms.order_intent (account_ref, conid, state);

create table oms.risk_decision (
  intent_id uuid primary key references oms.order_intent,
  is_approved boolean not null,
  code text not null,
  text text not null,
  findings jsonb not null,
  exposure jsonb not null,
  decided_at timestamptz not null default clock_timestamp(),
  market_at timestamptz not null
);

create table oms.reservation (
  intent_id uuid primary key references oms.order_intent,
  account_ref text not null references oms.account,
  conid bigint not null,
  quantity numeric(18,4) not null check (quantity > 0),
  notional_usd numeric(20,6) not null check (notional_usd > 0),
  reserved_at timestamptz not null default clock_timestamp(),
  released_at timestamptz
);

create table oms.order_event (
  seq bigint primary key,
  intent_id uuid not null references oms.order_intent,
  from_state text references oms.state,
  to_state text not null references oms.state,
  version int not null,
  epoch bigint,
  cause text not null,
  detail jsonb not null,
  at timestamptz not null,
  previous_sha256 bytea,
  sha256 bytea not null,
  foreign key (from_state, to_state) references oms.transition (from_state, to_state)
);
create index event_by_intent on oms.order_event (intent_id, seq);
"""

WIRE = """
create table oms.wire_call (
  call_id bigint generated always as identity primary key,
  intent_id uuid not null references oms.order_intent,
  kind text not null check (kind in ('place', 'reply', 'cancel')),
  send_number int not null check (send_number >= 0),
  epoch bigint not null,
  request jsonb not null,
  request_sha256 text not null,
  market_at timestamptz not null,
  sent_at timestamptz not null default clock_timestamp(),
  outcome text check (outcome in ('ok', 'question', 'rejected', 'duplicate', 'ambiguous', 'not_sent')),
  http_status int,
  answer text,
  done_at timestamptz,
  check ((outcome is null) = (done_at is null))
);
create index call_by_intent on oms.wire_call (intent_id, call_id);

create table oms.question (
  intent_id uuid not null references oms.order_intent,
  reply_id text not null,
  message_ids text[] not null,
  texts text[] not null,
  asked_at timestamptz not null default clock_timestamp(),
  decision text check (decision in ('confirm', 'decline')),
  decision_reason text,
  decided_at timestamptz,
  primary key (intent_id, reply_id)
);

create table oms.absence_observation (
  observation_id bigint generated always as identity primary key,
  intent_id uuid not null references oms.order_intent,
  gateway_session text not null,
  is_ready boolean not null,
  is_snapshot boolean not null,
  is_primed boolean not null,
  is_position_unchanged boolean not null,
  orders_seen int not null,
  trades_seen int not null,
  observed_at timestamptz not null default clock_timestamp()
);
create index observation_by_intent on oms.absence_observation (intent_id, observed_at);
"""


def upgrade() -> None:
    """Create the schema `oms`, its states and its tables."""
    for script in (PERMISSION, STATES, INTENTS, WIRE):
        op.execute(script)


def downgrade() -> None:
    """Refused: an order ledger is not dropped by a tool."""
    raise NotImplementedError("the order ledger is never dropped; restore a backup instead")
