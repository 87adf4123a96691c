// The view Predictions: one time axis for volumes, scores, decisions, quality, drift, and what happened; any day and any segment
// opens.

import { follow, go, read } from "./address.js";
import { get } from "./airflow.js";
import { chart } from "./charts.js";
import { doc } from "./docs.js";
import { command, fill, h } from "./dom.js";
import { spans, tile } from "./pieces.js";
import { METRICS, segmentOf, segments } from "./segments.js";
import * as words from "./words.js";

const FEATURES = 12; // features with the most drift that are shown at once

export async function show(place, page) {
  const view = new View(place, page);
  follow((query) => view.follow(query), page.signal); // before the first answer, so that no change of the address is lost
  await view.load();
}

class View {
  constructor(place, page) {
    this.place = place;
    this.page = page;
    this.drawn = new AbortController();
    page.signal.addEventListener("abort", () => this.drawn.abort());
  }

  async load() {
    const query = read();
    const { span = "92", until } = query;
    const own = whole(query);
    this.asked = own;
    const turn = (this.turn = (this.turn ?? 0) + 1);
    const asked = new URLSearchParams({ span, ...(until && { last: until }), ...segmentOf(query) });
    const found = await get(`${this.page.pipeline.name}/predictions?${asked}`, this.page.signal).catch((error) => (turn === this.turn ? Promise.reject(error) : null));
    if (this.page.signal.aborted || turn !== this.turn) return; // a later question has its own answer
    this.found = found;
    this.drawn.abort();
    this.drawn = new AbortController();
    if (!found.first) return void fill(this.place, empty(this.page.pipeline.name));
    const days = windowOf(found, Number(span), until);
    if (!found.scored.length) return void fill(this.place, head(found, this.page.pipeline.title, days), nothing(found));
    this.draw(days);
  }

  follow(query) {
    if (this.asked !== whole(query)) return void this.again();
    if (!this.found?.scored.length) return;
    this.openDay(query.day);
    this.bySegment(query.by);
  }

  /** Read other days. Where that fails, it says so, and the next change of the address reads again. */
  async again() {
    try {
      await this.load();
    } catch (error) {
      if (this.page.signal.aborted) return;
      this.asked = null;
      fill(this.place, h("div", { class: "trouble" }, h("h2", {}, "These days cannot be shown"), h("pre", {}, error.message), h("p", {}, h("button", { type: "button", onclick: () => this.again() }, "Try again"))));
    }
  }

  draw(days) {
    const { found, page } = this;
    this.groups = h("div", { class: "found" });
    this.detail = h("section", { class: "detail", hidden: true, "aria-label": "One day" });
    const charts = this.charts();
    fill(
      this.place,
      head(found, page.pipeline.title, days),
      h("div", { class: "ready charts" }, charts.map((one) => one.element)),
      found.segments.length > 0 && h("section", { "aria-label": "By segment" }, h("h2", {}, "By segment"), h("p", { class: "soft" }, "All predictions of these days. A value opens its own charts."), this.groups),
      drift(found, (day) => go({ day })),
      happened(found),
      this.detail,
    );
    for (const one of charts) chart(one.box, { ...one.what, signal: this.drawn.signal, marks: found.marks, pick: (day) => go({ day }) });
    this.openDay(read().day);
    this.bySegment(read().by);
  }

  bySegment(by) {
    const { found, page } = this;
    if (!found.segments.length || this.groups.dataset.by === String(by)) return;
    this.groups.dataset.by = String(by);
    segments(this.groups, page, found, { first: found.scored[0].day, last: found.scored.at(-1).day, by, signal: this.drawn.signal });
  }

  charts() {
    const { found } = this;
    const { scored, measured, task, metric } = found;
    const days = scored.map((one) => one.day);
    const of = byDay(measured);
    const quality = (pick) => days.map((day) => pick(of.get(day) ?? {}) ?? null);
    const quantile = (at) => scored.map((one) => one.quantiles[at]);
    const score = task === "binary" ? words.rate : words.number;
    const charts = [
      panel("Predictions a day", { days, from: 0, show: words.count, series: [{ label: "Rows", values: scored.map((one) => one.rows), colour: "ok", kind: "bars" }] }),
      panel(task === "binary" ? "Scores" : "Predicted values", {
        days, show: score,
        series: [
          { values: quantile(4), colour: "accent", kind: "none", key: false },
          { values: quantile(0), colour: "accent", kind: "none", key: false },
          { values: quantile(3), colour: "accent", kind: "none", key: false },
          { values: quantile(1), colour: "accent", kind: "none", key: false },
          { label: "Median", values: quantile(2), colour: "accent", text: (at) => `${score(scored[at].quantiles[2])}, nine of ten from ${score(scored[at].quantiles[0])} to ${score(scored[at].quantiles[4])}` },
        ],
        bands: [[1, 2, 0.16], [3, 4, 0.26]],
      }),
    ];
    if (task === "binary") charts.push(panel("Flagged", { days, from: 0, show: words.rate, series: [{ label: "Share of predictions", values: scored.map((one) => one.share), colour: "stale" }] }));
    charts.push(
      panel(`Realised quality: ${METRICS[metric] ?? metric}`, {
        days, show: words.number,
        series: [
          ...(found.segment ? [] : estimates(days, found)),
          { label: "Model", values: quality((one) => one.metric), colour: "accent" },
          ...(found.segment ? [] : [{ label: "Baseline", values: quality((one) => one.baseline), colour: "waiting", dash: true }]),
        ],
        bands: found.segment ? [] : [[1, 2, 0.16]],
      }),
      panel("Calibration: predicted and found", {
        days, show: score,
        series: [
          { label: "Predicted", values: quality((one) => one.prediction_mean), colour: "accent" },
          { label: "Found", values: quality((one) => one.label_mean), colour: "stale" },
        ],
      }),
      panel("Outcomes known", { days, from: 0, show: words.rate, series: [{ label: "Share of predictions", values: quality((one) => one.rows && one.labelled / one.rows), colour: "ok", kind: "bars" }] }),
    );
    return charts;
  }

  openDay(day) {
    const { found, page } = this;
    const scored = found.scored.find((one) => one.day === day);
    this.detail.hidden = !scored;
    if (!scored) return;
    const measured = byDay(found.measured).get(day);
    const shown = h("div", { class: "found" });
    const score = found.task === "binary" ? words.rate : words.number;
    fill(
      this.detail,
      h("header", {}, h("h2", {}, words.day(day)), h("button", { type: "button", class: "quiet close", "aria-label": "Close", onclick: () => go({ day: null }) }, "✕")),
      h(
        "dl", { class: "tiles" },
        tile("Predictions", words.count(scored.rows)),
        tile(found.task === "binary" ? "Mean score" : "Mean", score(scored.mean)),
        scored.share !== null && tile("Flagged", words.rate(scored.share)),
        tile("Model", scored.versions.map((version) => `v${version}`).join(", ")),
        measured && tile("Outcomes known", words.rate(measured.labelled / measured.rows)),
        measured?.metric !== null && measured && tile(METRICS[found.metric] ?? found.metric, words.number(measured.metric)),
      ),
      !measured && h("p", { class: "soft" }, waiting(found, day)),
      h("p", { class: "links" }, h("a", { class: "button", href: `?pipeline=${page.pipeline.name}&view=board&cell=${day}/score&until=${day}` }, "This day on the board"), h("a", { class: "button", href: `?pipeline=${page.pipeline.name}&view=one&day=${day}` }, "Its predictions, one by one")),
      found.segment && found.segments.length > 0 && h("p", { class: "soft" }, "All predictions of the day:"),
      shown,
    );
    this.detail.scrollIntoView({ block: "nearest" });
    if (found.segments.length) segments(shown, page, found, { first: day, last: day, by: read().by, signal: this.drawn.signal });
  }
}

/** What of the address makes other charts. */
const whole = ({ span = "92", until, only }) => `${span}/${until}/${only}`;

const byDay = (measured) => new Map(measured.map((one) => [one.day, one]));

/** The ends of the interval before labels, and the estimate of days that have none yet: two hidden lines and a dashed one. */
function estimates(days, { estimated, measured }) {
  const [of, known] = [byDay(estimated), byDay(measured)];
  const each = (pick) => days.map((day) => (of.has(day) ? pick(of.get(day)) : null) ?? null);
  const waiting = (one) => (known.get(one.day)?.metric ?? null) === null;
  const said = (at) => {
    const one = of.get(days[at]);
    return one.low === null ? words.number(one.estimate) : `${words.number(one.estimate)}, ${words.number(one.low)} to ${words.number(one.high)}`;
  };
  return [
    { values: each((one) => one.high), colour: "accent", kind: "none", key: false },
    { values: each((one) => one.low), colour: "accent", kind: "none", key: false },
    { label: "Before labels", values: each((one) => one.estimate), colour: "stale", kind: "none", text: said },
    { label: "Waiting", values: each((one) => (waiting(one) ? one.estimate : null)), colour: "stale", kind: "points", key: false },
  ];
}

/** The estimate of a day without labels, in words. */
function waiting(found, day) {
  const one = byDay(found.estimated).get(day);
  const name = METRICS[found.metric] ?? found.metric;
  if (found.segment || !one || one.estimate === null) return "Its quality is not measured yet: not all outcomes are known. There is no estimate of it.";
  if (one.low === null) return `Its quality is not measured yet: not all outcomes are known. ${name} is estimated at ${words.number(one.estimate)}; too few days have outcomes for an interval.`;
  return `Its quality is not measured yet: not all outcomes are known. ${name} is estimated at ${words.number(one.estimate)}; on nine days of ten it lies from ${words.number(one.low)} to ${words.number(one.high)}.`;
}

/** A chart with its title, and beside it what each line says of the day under the cursor. */
function panel(title, what) {
  const box = h("div", { class: "box" });
  const key = h("span", { class: "key" });
  const said = (at) => fill(key, h("span", {}, words.shortDay(what.days[at])), what.series.filter((one) => one.key !== false).map((one) => entry(one, what, at)));
  return { box, what: { ...what, said }, element: h("figure", { class: "chart" }, h("figcaption", {}, h("strong", {}, title), key), box) };
}

function entry(one, what, at) {
  const value = one.values[at];
  const text = value === null || value === undefined ? "–" : one.text ? one.text(at) : what.show(value);
  return h("span", { class: "entry" }, h("i", { style: { background: `var(--${one.colour})` } }), `${one.label} `, h("b", {}, text));
}

/** The days that were asked for, as far as there are predictions: the window may begin or end with days that have none. */
function windowOf(found, span, until) {
  const last = until && until < found.last ? (until > found.first ? until : found.first) : found.last;
  const first = words.later(last, 1 - span);
  return { first: first > found.first ? first : found.first, last, span };
}

function head(found, title, { first, last, span }) {
  return h(
    "div", { class: "head" },
    h("div", {}, h("h1", {}, "Predictions", found.segment && [": ", found.segment.name, " ", found.segment.value]), h("p", { class: "soft" }, `${title}, ${words.day(first)} – ${words.day(last)}`)),
    h(
      "div", { class: "tools" },
      found.segment && all(),
      spans(found, first, last, span),
    ),
  );
}

const all = () => h("button", { type: "button", onclick: () => go({ only: null }) }, "All predictions");

function nothing({ segment, first, last }) {
  const title = segment ? `No predictions of ${segment.name} ${segment.value}` : "No predictions on these days";
  const newest = h("button", { type: "button", onclick: () => go({ until: null, day: null }) }, "The newest days");
  return h("section", { class: "empty" }, h("h2", {}, title), h("p", {}, segment ? "There are none on these days." : `There are some from ${words.day(first)} to ${words.day(last)}.`), h("p", {}, segment ? all() : newest));
}

const empty = (name) =>
  h("div", { class: "ready" }, h("h1", {}, "No predictions yet"), h("p", { class: "soft" }, "Train a model and promote it; then score the days after its training window:"), [`contrail train -p ${name}`, `contrail promote -p ${name}`, `contrail status -p ${name}`].map(command));

/** Features × days: how far each moved from the days before, in thresholds. Above 1 is unusual. */
function drift(found, open) {
  if (!found.drift.length) return null;
  const verdict = (day) => ({ ok: "ok", watch: "stale", drift: "refused" })[day.verdict] ?? "unknown";
  const row = (name, at) =>
    h(
      "tr", {},
      h("th", { scope: "row" }, name),
      found.drift.map((day) => {
        const value = day.values[at];
        const level = value === null || value === undefined ? "none" : value > 2 ? "far" : value > 1 ? "unusual" : "usual";
        return h("td", { class: level, data: { day: day.day }, title: `${words.day(day.day)}, ${name}: ${value === null ? "not measured" : `${words.number(value)} of its threshold`}` });
      }),
    );
  const table = h(
    "table", { class: "drift", onclick: (event) => event.target.dataset.day && open(event.target.dataset.day) },
    h("tbody", {}, h("tr", { class: "verdicts" }, h("th", { scope: "row" }, "Verdict"), found.drift.map((day) => h("td", { data: { state: verdict(day), day: day.day }, class: "mark", title: `${words.day(day.day)}: ${day.verdict}` }))), found.features.slice(0, FEATURES).map(row)),
  );
  const rest = found.features.length - FEATURES;
  return h(
    "section", {},
    h("h2", {}, "Drift", " ", doc("docs/drift.html", "What it means", { class: "doc beside" })),
    h("p", { class: "soft" }, "Each column is a day. A filled cell is a feature that moved from the days before and from the training window, and moved predictions, more than on nearly all days of the window. A dark one did so twice as far. Rows in brackets are of the predictions, and of the reasons that they have."),
    h("div", { class: "table" }, table),
    rest > 0 && h("p", { class: "soft" }, `${words.so(rest, "feature")} with less drift ${rest === 1 ? "is" : "are"} not shown.`),
  );
}

function happened(found) {
  if (!found.marks.length) return null;
  const row = (mark) => h("li", {}, h("span", { class: `dot ${mark.kind}` }), h("span", {}, mark.last === mark.day ? words.day(mark.day) : `${words.shortDay(mark.day)} – ${words.day(mark.last)}`), h("span", {}, words.capital(mark.text), mark.rows ? `: ${words.so(mark.rows, "row")}` : ""), h("span", { class: "soft" }, mark.at ? words.moment(mark.at) : ""));
  const newest = together(found.marks).sort((one, other) => (one.day < other.day ? 1 : -1));
  return h("section", { "aria-label": "What happened" }, h("h2", {}, "What happened", " ", doc("docs/late-data.html", "On late data", { class: "doc beside" })), h("ul", { class: "events" }, newest.slice(0, 12).map(row)));
}

/** What happened to several days at once, as one. */
function together(marks) {
  const found = new Map();
  for (const mark of marks) {
    const key = `${mark.kind} ${mark.text} ${mark.at}`;
    const { day, last, rows } = found.get(key) ?? { day: mark.day, last: mark.day, rows: 0 };
    found.set(key, { ...mark, day: mark.day < day ? mark.day : day, last: mark.day > last ? mark.day : last, rows: rows + (mark.rows ?? 0) });
  }
  return [...found.values()];
}
