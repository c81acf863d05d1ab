insert into md.instrument (conid, symbol, exchange, currency, tick, lot) values (1001, 'AAPL', 'XNAS', 'USD', 0.01,
  1), (1002, 'IBM', 'XNYS', 'USD', 0.01, 1);

insert into md.bar (conid, bar_size, opened_at, version, known_from, known_to, open, high, low, close, volume, source,
  row_sha) select c, '1d', '2012-10-01 13:30+00'::timestamptz + d * interval '1 day', v, '2012-11-01'::timestamptz + v
  * interval '1 day', case v when 1 then '2012-11-03'::timestamptz end, 10, 11, 9, 10 + v / 10.0, 1000, 'ibkr',
  sha256((c + d + v)::text::bytea) from (values (1001), (1002)) i (c), generate_series(0, 9) d, generate_series(1, 2)
  v;

insert into md.bar_verdict (conid, bar_size, opened_at, version, verdict, reason) select conid, bar_size, opened_at,
  version, case when v then 'accepted' else 'quarantined' end, case when v then '' else 'ohlc_order' end from (select
  *, not (conid = 1002 and version = 1) v from md.bar) b;

insert into md.rejected_row (conid, bar_size, opened_at, raw, raw_sha, reason, source, seen_at) values (1001, '1d',
  '2012-10-20', '{"o": "x"}', '\x01', 'not_finite', 'ibkr', '2012-11-01');

insert into md.gap (conid, bar_size, session_date, cause) values (1001, '1d', '2012-10-18', 'missing');

insert into research.feature_set (feature_digest, names) values ('digest', array['sma_10', 'rsi_14']);

insert into research.feature (conid, bar_size, opened_at, feature_digest, "values") select conid, bar_size, opened_at,
  'digest', array[close, null] from md.bar where version = 2;
