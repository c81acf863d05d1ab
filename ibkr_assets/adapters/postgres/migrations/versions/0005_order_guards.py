"""What the database itself refuses in the order ledger, whoever asks.

Every rule here is also kept by the code; the triggers are the belt for a second writer, a bug, or a person with a
prompt. Who may do what at all is in 0006.
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

APPEND_ONLY = """
create function oms.refuse_change() returns trigger language plpgsql as $$
begin
  raise exception '% is append-only: % refused', tg_table_name, tg_op;
end $$;

do $$
declare name text;
begin
  foreach name in array array['control', 'plan', 'risk_decision', 'order_event', 'absence_observation',
                              'execution', 'cash_event', 'position_event', 'account_snapshot', 'state', 'transition']
  loop
    execute format('create trigger append_only before update or delete on oms.%I
                    for each row execute function oms.refuse_change()', name);
  end loop;
  foreach name in array array['order_intent', 'wire_call', 'question', 'reservation', 'account', 'recon_break',
                              'recon_run', 'writer_lease']
  loop
    execute format('create trigger never_deleted before delete on oms.%I
                    for each row execute function oms.refuse_change()', name);
  end loop;
  for name in select table_name from information_schema.tables
              where table_schema = 'oms' and table_type = 'BASE TABLE'
  loop
    execute format('create trigger never_emptied before truncate on oms.%I
                    for each statement execute function oms.refuse_change()', name);
  end loop;
end $$;
"""

PERMISSION = """
create function oms.blocked_by(p_account text, p_strategy text, p_conid bigint) returns text
language sql stable as $$
  select c.action || ' of ' || c.scope || ' by ' || c.actor || ': ' || c.reason
  from oms.control c
  where (c.scope = 'global' or c.scope = 'account:' || p_account or c.scope = 'strategy:' || p_strategy
         or c.scope = 'conid:' || p_conid)
    and ((c.action in ('kill', 'kill_cancel') and not exists (
            select from oms.control r where r.scope = c.scope and r.control_id > c.control_id and r.action = 'resume'))
      or (c.action = 'disarm' and not exists (
            select from oms.control r where r.scope = c.scope and r.control_id > c.control_id
              and r.action in ('arm', 'resume'))))
  order by c.control_id desc
  limit 1
$$;

create function oms.may_drive() returns boolean language plpgsql stable as $$
begin
  if not exists (select from pg_roles where rolname = 'ibkr_submitter') then
    return true;
  end if;
  return (select rolsuper from pg_roles where rolname = session_user)
      or session_user = (select pg_get_userbyid(relowner) from pg_class where oid = 'oms.order_intent'::regclass)
      or pg_has_role(session_user, 'ibkr_submitter', 'member');
end $$;

create function oms.guard_account() returns trigger language plpgsql as $$
begin
  if tg_op = 'UPDATE' then
    if new.account_ref <> old.account_ref or (old.broker_account is not null and
       new.broker_account is distinct from old.broker_account) then
      raise exception 'the broker account of % is fixed', old.account_ref;
    end if;
    if old.mode <> 'dry_run' and new.mode is distinct from old.mode then
      raise exception 'account % is % for life, refused %', old.account_ref, old.mode, new.mode;
    end if;
  end if;
  if new.mode <> 'dry_run' and exists (select from oms.account other where other.account_ref <> new.account_ref
       and other.mode <> 'dry_run' and other.mode <> new.mode) then
    raise exception 'this database already serves another mode than %', new.mode;
  end if;
  return new;
end $$;
create trigger guard before insert or update on oms.account
  for each row execute function oms.guard_account();

create function oms.guard_lease() returns trigger language plpgsql as $$
begin
  if new.epoch < old.epoch then
    raise exception 'writer epoch steps back from % to %', old.epoch, new.epoch;
  end if;
  return new;
end $$;
create trigger guard before update on oms.writer_lease for each row execute function oms.guard_lease();
"""

INTENTS = """
create function oms.guard_birth() returns trigger language plpgsql as $$
begin
  if new.state <> 'PROPOSED' or new.version <> 0 or new.send_count <> 0 or new.filled <> 0
     or new.broker_order_id is not null or new.epoch is not null then
    raise exception 'an intent is born PROPOSED and unsent, got % version %', new.state, new.version;
  end if;
  return new;
end $$;
create trigger guard_birth before insert on oms.order_intent for each row execute function oms.guard_birth();

create function oms.check_send(new oms.order_intent) returns void language plpgsql as $$
declare
  call oms.wire_call;
  blocked text;
begin
  if new.mode not in ('dry_run', coalesce((select a.mode from oms.account a where a.account_ref = new.account_ref),
                                          'none')) then
    raise exception 'intent of mode % is refused on account %', new.mode, new.account_ref;
  end if;
  select w.* into call from oms.wire_call w
   where w.intent_id = new.intent_id and w.kind = 'place' and w.outcome is null
     and w.send_number = new.send_count and w.epoch = new.epoch;
  if call.call_id is null then
    raise exception 'no open wire call % for %', new.send_count, new.client_order_id;
  end if;
  if call.market_at >= new.valid_until then
    raise exception '% was valid until %, market time is %', new.client_order_id, new.valid_until, call.market_at;
  end if;
  if new.mode in ('paper', 'live') and abs(extract(epoch from clock_timestamp() - call.market_at)) > 5 then
    raise exception 'market time % is not the time in mode %', call.market_at, new.mode;
  end if;
  if new.mode = 'live' and not exists (
      select from oms.control c where c.scope = 'account:' || new.account_ref and c.action = 'arm'
         and c.expires_at > clock_timestamp() and not exists (
           select from oms.control d where d.scope = c.scope and d.control_id > c.control_id
             and d.action in ('disarm', 'kill', 'kill_cancel'))) then
    raise exception 'account % is not armed', new.account_ref;
  end if;
  blocked := oms.blocked_by(new.account_ref, new.strategy_id, new.conid);
  if blocked is not null then
    raise exception 'permission to trade is withdrawn by %', blocked;
  end if;
  if exists (select from oms.order_intent o where o.account_ref = new.account_ref and o.conid = new.conid
               and o.state = 'UNKNOWN' and o.intent_id <> new.intent_id) then
    raise exception 'conid % has an order in doubt', new.conid;
  end if;
end $$;

create function oms.check_evidence(old oms.order_intent, new oms.order_intent) returns void language plpgsql as $$
declare
  last_outcome text;
  seen int;
begin
  if new.state in ('ACKED', 'WORKING', 'FILLED', 'CANCELLED') then
    if new.broker_order_id is null then
      raise exception '% leaves UNKNOWN to % without a broker order id', new.client_order_id, new.state;
    end if;
    return;
  end if;
  select w.outcome into last_outcome from oms.wire_call w
   where w.intent_id = new.intent_id and w.kind in ('place', 'reply') order by w.call_id desc limit 1;
  select count(*) into seen from oms.absence_observation o
   where o.intent_id = new.intent_id and o.observed_at >= old.unknown_since
     and o.is_ready and o.is_snapshot and o.is_primed and o.is_position_unchanged;
  if (new.state in ('APPROVED', 'NOT_PLACED') and last_outcome is distinct from 'not_sent' and seen < 2)
     or (new.state = 'REJECTED' and (last_outcome is distinct from 'rejected' or seen < 1)) then
    raise exception '% leaves UNKNOWN to % without evidence (last call %, % observations)',
      new.client_order_id, new.state, last_outcome, seen;
  end if;
end $$;

create function oms.guard_change() returns trigger language plpgsql as $$
declare
  changing text[] := array['state', 'state_at', 'version', 'epoch', 'send_count', 'broker_order_id', 'filled',
                           'average_price', 'unknown_since', 'reason', 'cause', 'cause_detail'];
begin
  if (to_jsonb(new) - changing) is distinct from (to_jsonb(old) - changing) then
    raise exception 'what % orders is immutable', old.client_order_id;
  end if;
  if new.version <> old.version + 1 then
    raise exception 'version of % must step from % by one, got %', old.client_order_id, old.version, new.version;
  end if;
  if old.broker_order_id is not null and new.broker_order_id is distinct from old.broker_order_id then
    raise exception '% is broker order % already, refused %', old.client_order_id, old.broker_order_id,
      new.broker_order_id;
  end if;
  if new.state <> old.state and not exists (
      select from oms.transition t where t.from_state = old.state and t.to_state = new.state) then
    raise exception 'illegal transition % -> % of %', old.state, new.state, old.client_order_id;
  end if;
  if old.state = 'PROPOSED' or (old.state = 'APPROVED' and new.state in ('EXPIRED_UNSENT', 'DENIED')) then
    if (to_jsonb(new) - array['state', 'version', 'reason', 'cause', 'cause_detail'])
       is distinct from (to_jsonb(old) - array['state', 'version', 'reason', 'cause', 'cause_detail']) then
      raise exception '% has not left yet', old.client_order_id;
    end if;
  else
    if not oms.may_drive() then
      raise exception 'only the submitter may move % from %', old.client_order_id, old.state;
    end if;
    if new.epoch is distinct from (
        select l.epoch from oms.writer_lease l where l.account_ref = new.account_ref for share) then
      raise exception 'stale writer epoch % for %', new.epoch, new.account_ref;
    end if;
  end if;
  if new.state = old.state then
    return new;
  end if;
  if new.state = 'APPROVED' and old.state = 'PROPOSED' and not exists (
      select from oms.risk_decision d join oms.reservation r using (intent_id)
       where d.intent_id = new.intent_id and d.is_approved) then
    raise exception '% has no approval with a reservation', new.client_order_id;
  end if;
  if new.state = 'SUBMITTING' then
    perform oms.check_send(new);
  end if;
  if new.state = 'CONFIRMING' and not exists (
      select from oms.wire_call w where w.intent_id = new.intent_id and w.kind = 'reply' and w.outcome is null
        and w.epoch = new.epoch) then
    raise exception 'no open reply call for %', new.client_order_id;
  end if;
  if old.state = 'UNKNOWN' then
    perform oms.check_evidence(old, new);
  end if;
  new.state_at := clock_timestamp();
  new.unknown_since := case when new.state = 'UNKNOWN' then clock_timestamp() end;
  return new;
end $$;
create trigger guard_change before update on oms.order_intent for each row execute function oms.guard_change();
"""

CONSEQUENCES = """
create function oms.follow_intent() returns trigger language plpgsql security definer set search_path = oms, pg_temp
as $$
begin
  if tg_op = 'INSERT' or new.state <> old.state then
    insert into oms.order_event (intent_id, from_state, to_state, version, epoch, cause, detail)
    values (new.intent_id, case when tg_op = 'UPDATE' then old.state end, new.state, new.version, new.epoch,
            new.cause, new.cause_detail || jsonb_build_object('reason', new.reason, 'filled', new.filled));
    update oms.reservation r
       set released_at = case when s.holds_risk then null else clock_timestamp() end
      from oms.state s
     where r.intent_id = new.intent_id and s.name = new.state and (r.released_at is null) <> s.holds_risk;
    if new.state = 'APPROVED' then
      perform pg_notify('oms', new.account_ref);
    end if;
  end if;
  return null;
end $$;
create trigger follow after insert or update on oms.order_intent for each row execute function oms.follow_intent();

create function oms.event_digest(e oms.order_event) returns bytea language sql stable as $$
  select sha256(coalesce(e.previous_sha256, ''::bytea) || convert_to(jsonb_build_array(
    e.seq, e.intent_id, e.from_state, e.to_state, e.version, e.epoch, e.cause, e.detail,
    extract(epoch from e.at))::text, 'UTF8'))
$$;

create function oms.chain_event() returns trigger language plpgsql as $$
begin
  perform pg_advisory_xact_lock(hashtext('oms.order_event'));
  select e.seq + 1, e.sha256 into new.seq, new.previous_sha256 from oms.order_event e order by e.seq desc limit 1;
  new.seq := coalesce(new.seq, 1);
  new.at := clock_timestamp();
  new.sha256 := oms.event_digest(new);
  return new;
end $$;
create trigger chain before insert on oms.order_event for each row execute function oms.chain_event();

create function oms.guard_call() returns trigger language plpgsql as $$
declare
  answer_columns text[] := array['outcome', 'http_status', 'answer', 'done_at'];
begin
  if (to_jsonb(new) - answer_columns) is distinct from (to_jsonb(old) - answer_columns) then
    raise exception 'what wire call % sent is immutable', old.call_id;
  end if;
  if old.outcome is not null then
    raise exception 'wire call % has its answer already', old.call_id;
  end if;
  new.done_at := clock_timestamp();
  return new;
end $$;
create trigger guard before update on oms.wire_call for each row execute function oms.guard_call();

create function oms.tell_control() returns trigger language plpgsql as $$
begin
  perform pg_notify('oms', new.scope);
  return null;
end $$;
create trigger tell after insert on oms.control for each row execute function oms.tell_control();
"""


def upgrade() -> None:
    """Create the guards and the hash chain."""
    for script in (APPEND_ONLY, PERMISSION, INTENTS, CONSEQUENCES):
        op.execute(script)


def downgrade() -> None:
    """Refused: an order ledger without its guards is not one."""
    raise NotImplementedError("the guards of the order ledger are never dropped; restore a backup instead")
