insert into research.strategy (id, version, kind, params, symbols, bar_size, schedule, sizing, risk, is_enabled,
  actor) values ('rsi', 1, 'rsi_reversion', '{}', array['IBM'], '1d', 'after_close', 'fixed:1', '{}', false, 'c');

insert into md.bar (conid, bar_size, opened_at, version, known_from, open, high, low, close, volume, source, row_sha)
  values (1002, '1min', '2012-10-02 13:30+00', 1, '2012-11-01', 1, 1, 1, 1, 1, 'ibkr', sha256('m'));
