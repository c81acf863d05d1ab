"""Every request to a language model with what came back and what it cost, and what is set aside before one is made.

A request is written when it is over; what is set aside for one that never came to an end stays set aside for its day.
"""

from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

CALLS = """
create schema llm;
create table llm.picture (
  sha256 text primary key,
  png bytea not null
);
create table llm.reservation (
  reservation_id bigint generated always as identity primary key,
  strategy_id text not null,
  worst_usd numeric not null check (worst_usd >= 0),
  reserved_at timestamptz not null default clock_timestamp(),
  day date not null default (clock_timestamp() at time zone 'UTC')::date
);
create index reservation_by_day on llm.reservation (day);
create table llm.call (
  call_id bigint generated always as identity primary key,
  key text not null check (length(key) = 64),
  reservation_id bigint unique references llm.reservation,
  strategy_id text not null,
  strategy_version integer not null,
  symbol text not null,
  bar_opened_at timestamptz not null,
  sample integer not null check (sample >= 0),
  attempt integer not null check (attempt > 0),
  dagster_run_id text,
  endpoint text not null,
  model_asked text not null,
  model_answered text,
  provider_id text,
  messages jsonb not null,
  settings jsonb not null,
  answer_schema jsonb not null,
  template_sha256 text not null,
  picture_sha256 text references llm.picture,
  texts jsonb not null,
  names jsonb not null,
  text_events jsonb not null,
  outcome text not null check (outcome <> ''),
  problem text not null,
  response text,
  finish_reason text,
  prompt_tokens integer check (prompt_tokens >= 0),
  completion_tokens integer check (completion_tokens >= 0),
  input_usd_per_million numeric,
  output_usd_per_million numeric,
  price_source text,
  price_as_of date,
  cost_usd numeric not null check (cost_usd >= 0),
  is_estimate boolean not null,
  latency_s double precision,
  at timestamptz not null default clock_timestamp(),
  day date not null,
  check ((outcome = 'answered') = (response is not null)),
  check (reservation_id is not null or cost_usd = 0)
);
comment on column llm.call.key is 'sha256 of model, messages, settings and schema: the same inputs are found by it';
comment on column llm.call.day is 'of its reservation: the UTC day by the clock of the database that it is paid in';
comment on column llm.call.messages is 'as sent; a picture is named by its sha256';
comment on column llm.call.texts is 'outside text before it was quoted';
comment on column llm.call.cost_usd is 'the worst case where is_estimate';
create index call_by_key on llm.call (key, call_id) where outcome = 'answered';
create index call_by_day on llm.call (day, strategy_id);

create view llm.spend as
select day, strategy_id, model, sum(calls)::bigint as calls, sum(abstained)::bigint as abstained,
  sum(prompt_tokens)::bigint as prompt_tokens, sum(completion_tokens)::bigint as completion_tokens,
  sum(cost_usd) as cost_usd, sum(in_flight_usd) as in_flight_usd
from (
  select day, strategy_id, model_asked as model, 1 as calls, (outcome <> 'answered')::integer as abstained,
    coalesce(prompt_tokens, 0) as prompt_tokens, coalesce(completion_tokens, 0) as completion_tokens, cost_usd,
    0::numeric as in_flight_usd
  from llm.call
  union all
  select r.day, r.strategy_id, '', 0, 0, 0, 0, 0, r.worst_usd
  from llm.reservation r where not exists (select from llm.call c where c.reservation_id = r.reservation_id)
) as one
group by day, strategy_id, model;
comment on view llm.spend is 'by UTC day, strategy and model; in_flight_usd is set aside for requests without an end';

create trigger picture_is_append_only before update or delete or truncate on llm.picture
  for each statement execute function research.refuse_change();
create trigger reservation_is_append_only before update or delete or truncate on llm.reservation
  for each statement execute function research.refuse_change();
create trigger call_is_append_only before update or delete or truncate on llm.call
  for each statement execute function research.refuse_change();
"""

GRANTS = """
do $$
declare name text;
begin
  foreach name in array array['ibkr_app', 'ibkr_submitter', 'ibkr_dashboard'] loop
    if exists (select from pg_roles where rolname = name) then
      execute format('grant usage on schema llm to %I', name);
      execute format('grant select on llm.picture, llm.reservation, llm.call, llm.spend to %I', name);
    end if;
  end loop;
  if exists (select from pg_roles where rolname = 'ibkr_app') then
    grant insert on llm.picture, llm.reservation, llm.call to ibkr_app;
  end if;
end $$;
"""


def upgrade() -> None:
    """Create the schema `llm`."""
    for script in (CALLS, GRANTS):
        op.get_bind().exec_driver_sql(script.replace("%", "%%"))


def downgrade() -> None:
    """Refused: what was asked and paid stays written down."""
    raise NotImplementedError("there is no way back; restore a backup")
