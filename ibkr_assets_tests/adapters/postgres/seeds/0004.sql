insert into oms.account (account_ref, broker_account, mode) values ('acct-a', 'DU1', 'sim');

insert into oms.control (scope, action, actor, reason, expires_at) values ('account:acct-a', 'arm', 'a', 'open',
  '2012-10-01 20:00+00'), ('global', 'kill', 'b', 'drill', null), ('global', 'resume', 'b', 'drill over', null);

insert into oms.writer_lease (account_ref, epoch, holder) values ('acct-a', 3, 'submitter');

insert into oms.heartbeat (account_ref, epoch, status) values ('acct-a', 3, 'working');

insert into oms.plan (account_ref, mode, strategy_id, signal_bar_end, conid, strategy_version, session_date,
  signal_sha256, signal, held_and_working, nav_usd, intents) values ('acct-a', 'sim', 'cross', '2012-10-01 20:00+00',
  1001, 1, '2012-10-01', 'sha', '{}', 0, 100000, '[]');

insert into oms.order_intent (intent_id, decision_key, client_order_id, payload_sha256, account_ref, strategy_id,
  mode, conid, symbol, side, order_type, quantity, limit_price, time_in_force, reference_price, session_date,
  signal_bar_end, valid_until, purpose, leg, generation, state, version, epoch, send_count, broker_order_id, filled,
  average_price, reason, cause, created_by) select ('00000000-0000-4000-8000-00000000000' || n)::uuid, 'key|cross|' ||
  n, 'q1-' || repeat(chr(96 + n), 26), 'sha', 'acct-a', 'cross', 'sim', 1001, 'AAPL', 'BUY', 'LMT', 10, 10.5, 'OPG',
  10.1, '2012-10-01', '2012-10-01 20:00+00', '2012-10-02 13:30+00', 'open', n, 0, state, 4, 3, least(n, 2) - 1, case n
  when 2 then '77' end, case n when 2 then 10 else 0 end, case n when 2 then 10.2 end, '', 'seed', 'test' from (values
  (1, 'DENIED'), (2, 'FILLED'), (3, 'NOT_PLACED')) s (n, state);

insert into oms.risk_decision (intent_id, is_approved, code, text, findings, exposure, market_at) select intent_id,
  state <> 'DENIED', case state when 'DENIED' then 'order_value' else 'approved' end, 't', '[]', '{}', '2012-10-01
  20:20+00' from oms.order_intent;

insert into oms.reservation (intent_id, account_ref, conid, quantity, notional_usd, released_at) select intent_id,
  account_ref, conid, quantity, 105, '2012-10-02' from oms.order_intent where state = 'FILLED';

insert into oms.order_event (seq, intent_id, from_state, to_state, version, cause, detail, at, previous_sha256,
  sha256) select leg, intent_id, null, 'PROPOSED', 0, 'seed', '{}', '2012-10-01', null, sha256(decision_key::bytea)
  from oms.order_intent;

insert into oms.wire_call (intent_id, kind, send_number, epoch, request, request_sha256, market_at, outcome,
  http_status, answer, done_at) select intent_id, 'place', 1, 3, '{}', 'sha', '2012-10-01', 'ok', 200, '[]',
  '2012-10-01' from oms.order_intent where state = 'FILLED';

insert into oms.execution (account_ref, execution_root, revision, execution_id, intent_id, client_order_id,
  broker_order_id, conid, symbol, side, quantity, price, commission, executed_at) select 'acct-a', 'x', 1, 'x.01',
  intent_id, client_order_id, '77', 1001, 'AAPL', 'BUY', 10, 10.2, 1, '2012-10-02 13:30+00' from oms.order_intent
  where state = 'FILLED';

insert into oms.cash_event (account_ref, kind, amount_usd, market_at) values ('acct-a', 'opening', 100000,
  '2012-10-01');

insert into oms.position_event (account_ref, kind, conid, symbol, quantity, market_at) values ('acct-a', 'opening',
  1002, 'IBM', 5, '2012-10-01');

insert into oms.account_snapshot (account_ref, epoch, market_at, cash_usd, accrued_dividends_usd, positions_value_usd,
  nav_platform_usd, nav_broker_usd, broker_cash_usd, positions) values ('acct-a', 3, '2012-10-02', 99897, 0, 102,
  99999, 99999, 99897, '[]');

insert into oms.recon_run (account_ref, epoch, kind, gateway_session, is_clean) values ('acct-a', 3, 'start', 's',
  true);

insert into oms.recon_break (account_ref, kind, subject, blocks, conid, detail) values ('acct-a', 'position', '1002',
  'conid', 1002, '{}');
