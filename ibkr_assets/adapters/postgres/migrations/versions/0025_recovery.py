"""A ledger that came back from a backup: what it was restored from, and the orders that it took over from the broker.

A backup knows nothing of what was sent after it was taken. Such an order is taken over as in doubt, which only what
the broker shows may end; no other way into the ledger past an approval is open, and this one only until the restored
ledger is resumed. A resume wants a start that found the account clean since.
"""

from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

TABLES = """
create table oms.restoration (
  restoration_id bigint generated always as identity primary key,
  backup_taken_at timestamptz not null,
  backup_sha256 text not null check (backup_sha256 ~ '^[0-9a-f]{64}$'),
  backup_revision text not null,
  restored_by text not null,
  restored_at timestamptz not null default clock_timestamp(),
  resumed_at timestamptz
);
create unique index one_open_restoration on oms.restoration ((true)) where resumed_at is null;

create table oms.adoption (
  intent_id uuid primary key references oms.order_intent,
  restoration_id bigint not null references oms.restoration,
  was_state text references oms.state,
  is_attributed boolean not null,
  evidence jsonb not null,
  adopted_at timestamptz not null default clock_timestamp()
);

create trigger never_deleted before delete on oms.restoration for each row execute function oms.refuse_change();
create trigger never_emptied before truncate on oms.restoration for each statement execute function oms.refuse_change();
create trigger append_only before update or delete on oms.adoption for each row execute function oms.refuse_change();
create trigger never_emptied before truncate on oms.adoption for each statement execute function oms.refuse_change();

insert into oms.transition (from_state, to_state) values ('PROPOSED', 'UNKNOWN'), ('APPROVED', 'UNKNOWN');
"""

GUARDS = """
create function oms.guard_adoption() returns trigger language plpgsql as $$
begin
  if not oms.may_drive() then
    raise exception 'only the submitter may take % over', old.client_order_id;
  end if;
  if not exists (select from oms.adoption a join oms.restoration r using (restoration_id)
                  where a.intent_id = new.intent_id and r.resumed_at is null) then
    raise exception '% goes from % into doubt only where a restored ledger takes it over', old.client_order_id,
      old.state;
  end if;
  return new;
end $$;
create trigger guard_adoption before update on oms.order_intent for each row
  when (old.state in ('PROPOSED', 'APPROVED') and new.state = 'UNKNOWN') execute function oms.guard_adoption();

create function oms.guard_restored() returns trigger language plpgsql as $$
declare
  restored oms.restoration;
  unready text;
begin
  select r.* into restored from oms.restoration r where r.resumed_at is null;
  if restored.restoration_id is null then
    return new;
  end if;
  select a.account_ref into unready from oms.account a where a.mode <> 'dry_run' and not exists (
    select from oms.recon_run n where n.account_ref = a.account_ref and n.kind = 'start' and n.is_clean
      and n.started_at > restored.restored_at) order by 1 limit 1;
  if unready is not null then
    raise exception 'restored from a backup of %: account % has had no clean start since', restored.backup_taken_at,
      unready;
  end if;
  return new;
end $$;
create trigger guard_restored before insert on oms.control for each row
  when (new.action in ('resume', 'arm')) execute function oms.guard_restored();

create function oms.close_restoration() returns trigger language plpgsql security definer set search_path = oms, pg_temp
as $$
begin
  update oms.restoration set resumed_at = clock_timestamp() where resumed_at is null;
  return null;
end $$;
create trigger close_restoration after insert on oms.control for each row
  when (new.action = 'resume' and new.scope = 'global') execute function oms.close_restoration();
"""

GRANTS = """
do $$
begin
  if exists (select from pg_roles where rolname = 'ibkr_app') then
    grant select on oms.restoration, oms.adoption to ibkr_app;
  end if;
  if exists (select from pg_roles where rolname = 'ibkr_submitter') then
    grant select on oms.restoration to ibkr_submitter;
    grant select, insert on oms.adoption to ibkr_submitter;
  end if;
end $$;
"""


def upgrade() -> None:
    """Create the tables, their guards, and the two moves that they guard."""
    for script in (TABLES, GUARDS, GRANTS):
        op.execute(script)


def downgrade() -> None:
    """Refused: a ledger that was restored says so for ever."""
    raise NotImplementedError("what a restored ledger took over is never dropped; restore a backup instead")
