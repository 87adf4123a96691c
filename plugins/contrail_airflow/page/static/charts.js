// Charts over days, by uPlot (vendor/uplot). All charts of a view share the day under the cursor.

import { h } from "./dom.js";
import * as words from "./words.js";

let loading = null;

/** Load the library once, when a view first draws a chart. */
function library() {
  loading ??= new Promise((done, failed) => {
    document.head.append(
      h("link", { rel: "stylesheet", href: "static/vendor/uplot/uPlot.min.css" }),
      h("script", { src: "static/vendor/uplot/uPlot.iife.min.js", onload: () => done(globalThis.uPlot), onerror: () => failed(new Error("The charts cannot be loaded.")) }),
    );
  });
  return loading;
}

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const seconds = (iso) => Date.parse(`${iso}T00:00:00Z`) / 1000;

/**
 * Draw a chart of values by day.
 *
 * @param place The element to fill.
 * @param what `days` (ISO dates), `series` ({ label, values, colour, kind: "line" | "bars" | "points", dash }), `bands`
 *   ([[upper, lower, opacity]] by number of the series from 1), `marks` ({ day, kind }), `show` (number to text), `pick(day)`,
 *   `from` (least value of the axis, or null), `said(at)`, which is told the day under the cursor, and `signal`.
 */
export async function chart(place, what) {
  what.said(what.days.length - 1);
  const uPlot = await library();
  if (what.signal.aborted) return;
  let drawn = null;
  const draw = () => {
    drawn?.destroy();
    drawn = new uPlot(options(uPlot, place, what), [what.days.map(seconds), ...what.series.map((one) => one.values)], place);
  };
  draw();
  const resized = new ResizeObserver(() => drawn.setSize({ width: place.clientWidth, height: height() }));
  resized.observe(place);
  const themed = new MutationObserver(draw);
  themed.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  what.signal.addEventListener("abort", () => {
    resized.disconnect();
    themed.disconnect();
    drawn.destroy();
  });
}

const height = () => (innerWidth < 600 ? 150 : 170);

function options(uPlot, place, what) {
  const axis = { stroke: colour("soft"), grid: { stroke: colour("line"), width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
  return {
    width: place.clientWidth || 600,
    height: height(),
    tzDate: (moment) => uPlot.tzDate(new Date(moment * 1000), "Etc/UTC"),
    padding: [10, 10, 0, 0],
    cursor: { sync: { key: "contrail" }, drag: { x: false, y: false }, points: { size: 6 } },
    legend: { show: false },
    scales: { x: { time: true }, y: { range: (_, least, most) => limits(least, most, what.from) } },
    axes: [
      { ...axis, size: 26, gap: 6, grid: { show: false }, space: 90, values: (_, ticks) => ticks.map((tick) => words.shortDay(new Date(tick * 1000).toISOString().slice(0, 10))) },
      { ...axis, size: 56, values: (_, ticks) => ticks.map(what.show) },
    ],
    series: [
      {},
      ...what.series.map((one) => series(uPlot, one)),
    ],
    bands: (what.bands ?? []).map(([upper, lower, share]) => ({ series: [upper, lower], fill: mixed(colour("accent"), share) })),
    hooks: {
      draw: [(plot) => marks(plot, what.marks ?? [])],
      setCursor: [(plot) => what.said(plot.cursor.idx ?? what.days.length - 1)],
      ready: [
        (plot) =>
          plot.over.addEventListener("click", () => {
            if (plot.cursor.idx !== null && plot.cursor.idx !== undefined) what.pick?.(what.days[plot.cursor.idx]);
          }),
      ],
    },
  };
}

function limits(least, most, from) {
  if (least === null) return [0, 1];
  const low = from ?? least - (most - least) * 0.08;
  return [low, most + (most - low || 1) * 0.08];
}

function series(uPlot, one) {
  const stroke = colour(one.colour);
  return {
    label: one.label,
    stroke: one.kind === "none" ? "transparent" : stroke,
    width: one.kind === "none" ? 0 : one.kind === "bars" ? 0 : 1.75,
    dash: one.dash ? [4, 4] : undefined,
    fill: one.kind === "bars" ? mixed(stroke, 0.55) : undefined,
    paths: one.kind === "bars" ? uPlot.paths.bars({ size: [0.75, 24], align: 0 }) : undefined,
    points: one.kind === "points" ? { show: true, size: 6, stroke, fill: stroke } : { show: false },
    spanGaps: false,
  };
}

/** A colour of the page, partly transparent. */
const mixed = (hex, share) => `${hex}${Math.round(share * 255).toString(16).padStart(2, "0")}`;

/** What happened to the model and the data, as lines through the days. */
function marks(plot, found) {
  const { ctx } = plot;
  const { left, top, width, height: tall } = plot.bbox;
  ctx.save();
  for (const { day, kind } of found) {
    const x = plot.valToPos(seconds(day), "x", true);
    if (x < left - 1 || x > left + width + 1) continue;
    ctx.strokeStyle = ctx.fillStyle = colour({ refusal: "refused", promotion: "accent", late: "stale", mended: "stale", correction: "stale", fall: "refused" }[kind] ?? "waiting");
    if (kind === "correction") {
      corner(ctx, x, top, 4 * devicePixelRatio);
      continue;
    }
    ctx.lineWidth = devicePixelRatio * (kind === "promotion" ? 2 : 1);
    ctx.setLineDash(kind === "promotion" ? [] : [3 * devicePixelRatio, 3 * devicePixelRatio]);
    ctx.beginPath();
    ctx.moveTo(x, top);
    ctx.lineTo(x, top + tall);
    ctx.stroke();
  }
  ctx.restore();
}

/** A corrected day has a corner at the top, since many days may be corrected at once. */
function corner(ctx, x, y, size) {
  ctx.beginPath();
  ctx.moveTo(x - size, y);
  ctx.lineTo(x + size, y);
  ctx.lineTo(x, y + size * 1.6);
  ctx.fill();
}
