// The price chart of one instrument: candles, volume, averages, and what was bought and sold.
// The table below it holds the same numbers for whoever does not see it.

import {
  CandlestickSeries, ColorType, createChart, createSeriesMarkers, HistogramSeries, LineSeries,
  type SeriesMarker, type Time, type UTCTimestamp,
} from "lightweight-charts";

interface Bar { time: number; open: number; high: number; low: number; close: number; volume: number }
interface Fill { time: number; side: "BUY" | "SELL"; quantity: string; price: string }
interface Turn { time: number; strategy: string; direction: "long" | "short" | "flat" }
interface Answer { symbol: string; bars: Bar[]; lines: Record<string, { time: number; value: number }[]>; fills: Fill[]; turns: Turn[] }

const colour = (name: string): string => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const at = (seconds: number): UTCTimestamp => seconds as UTCTimestamp;
const LINES: Record<string, string> = { sma_10: "--link", sma_20: "--warn", sma_50: "--third" };

async function draw(place: HTMLElement): Promise<void> {
  const answer = await fetch(place.dataset["chart"] ?? "");
  if (!answer.ok) {
    place.textContent = `The chart's figures did not come: ${answer.status}`;
    return;
  }
  const found = (await answer.json()) as Answer;
  const chart = createChart(place, {
    autoSize: true,
    layout: { background: { type: ColorType.Solid, color: "transparent" }, textColor: colour("--quiet"), attributionLogo: true },
    grid: { vertLines: { color: colour("--edge") }, horzLines: { color: colour("--edge") } },
    timeScale: { borderColor: colour("--edge") },
    rightPriceScale: { borderColor: colour("--edge") },
  });
  const candles = chart.addSeries(CandlestickSeries, {
    upColor: colour("--good"), downColor: colour("--bad"), borderVisible: false, wickUpColor: colour("--good"), wickDownColor: colour("--bad"),
  });
  candles.setData(found.bars.map((bar) => ({ ...bar, time: at(bar.time) })));
  const volume = chart.addSeries(HistogramSeries, { priceScaleId: "volume", priceFormat: { type: "volume" }, color: colour("--edge") });
  volume.priceScale().applyOptions({ scaleMargins: { top: 0.85, bottom: 0 } });
  volume.setData(found.bars.map((bar) => ({ time: at(bar.time), value: bar.volume })));
  for (const [name, variable] of Object.entries(LINES)) {
    const points = found.lines[name];
    if (points === undefined) continue;
    const line = chart.addSeries(LineSeries, { color: colour(variable), lineWidth: 1, title: name.replace("_", " "), priceLineVisible: false, lastValueVisible: false });
    line.setData(points.map((point) => ({ time: at(point.time), value: point.value })));
  }
  // A turn of a signal is round, a fill is an arrow; both lie below the bar for buying and above it for selling.
  const said: SeriesMarker<Time>[] = found.turns.map((turn) => ({
    time: at(turn.time),
    position: turn.direction === "long" ? ("belowBar" as const) : ("aboveBar" as const),
    shape: turn.direction === "flat" ? ("square" as const) : ("circle" as const),
    color: turn.direction === "flat" ? colour("--quiet") : colour("--link"),
    size: 0.6,
  }));
  const done: SeriesMarker<Time>[] = found.fills
    .map((fill) => ({
      time: at(fill.time),
      position: fill.side === "BUY" ? ("belowBar" as const) : ("aboveBar" as const),
      shape: fill.side === "BUY" ? ("arrowUp" as const) : ("arrowDown" as const),
      color: fill.side === "BUY" ? colour("--good") : colour("--bad"),
      text: `${fill.side === "BUY" ? "+" : "−"}${Number(fill.quantity)}`,
    }));
  createSeriesMarkers(candles, [...said, ...done].sort((one, other) => Number(one.time) - Number(other.time)));
  chart.timeScale().fitContent();
  place.dataset["drawn"] = String(found.bars.length);
}

for (const place of document.querySelectorAll<HTMLElement>("[data-chart]")) void draw(place);
