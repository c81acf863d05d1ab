insert into research.strategy (id, version, kind, params, symbols, bar_size, schedule, sizing, risk, is_enabled,
  actor) values ('cross', 1, 'sma_cross', '{"fast": 10, "slow": 30}', array['AAPL'], '1d', 'after_close', 'percent:8',
  '{}', true, 'a'), ('cross', 2, 'sma_cross', '{"fast": 12, "slow": 30}', array['AAPL', 'IBM'], '1d', 'after_close',
  'percent:8', '{"max_order_value_usd": "500"}', true, 'b');

insert into research.signal (strategy_id, strategy_version, conid, symbol, session_date, revision, as_of, direction,
  strength, reference_price, feature_digest, input_digest, reason, dagster_run_id) values ('cross', 1, 1001, 'AAPL',
  '2012-10-01', 1, '2012-10-01 20:00+00', 'long', 1, 10.1, 'digest', 'in', 'r', 'run');
