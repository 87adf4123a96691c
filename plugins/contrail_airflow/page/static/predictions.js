// The view Predictions: one time axis for volumes, scores, decisions, quality, drift, and what happened; any day opens.

import { follow, go, read } from "./address.js";
import { get } from "./airflow.js";
import { chart } from "./charts.js";
import { command, fill, h } from "./dom.js";
import { spans, tile } from "./pieces.js";
import * as words from "./words.js";

const METRICS = { log_loss: "Log loss", auc: "AUC", brier: "Brier score", rmse: "RMSE", mae: "Mean absolute error" };
const FEATURES = 12; // features with the most drift that are shown at once

export async function show(place, page) {
  const view = new View(place, page);
  await view.load();
  follow((query) => view.follow(query), page.signal);
}

class View {
  constructor(place, page) {
    this.place = place;
    this.page = page;
    this.drawn = new AbortController();
    page.signal.addEventListener("abort", () => this.drawn.abort());
  }

  async load() {
    const { span = "92", until } = read();
    this.asked = `${span}/${until}`;
    const found = await get(`${this.page.pipeline.name}/predictions?${new URLSearchParams({ span, ...(until && { last: until }) })}`, this.page.signal);
    this.found = found;
    this.drawn.abort();
    this.drawn = new AbortController();
    if (!found.scored.length) return fill(this.place, empty(this.page.pipeline.name));
    this.draw(Number(span));
  }

  follow(query) {
    if (this.asked !== `${query.span ?? "92"}/${query.until}`) return void this.load();
    this.openDay(query.day);
  }

  draw(span) {
    const { found, page } = this;
    this.detail = h("section", { class: "detail", hidden: true, "aria-label": "One day" });
    const charts = this.charts();
    fill(
      this.place,
      head(found, page.pipeline.title, span),
      h("div", { class: "ready charts" }, charts.map((one) => one.element)),
      drift(found, (day) => go({ day })),
      happened(found),
      this.detail,
    );
    for (const one of charts) chart(one.box, { ...one.what, signal: this.drawn.signal, marks: found.marks, pick: (day) => go({ day }) });
    this.openDay(read().day);
  }

  charts() {
    const { scored, measured, task, metric } = this.found;
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
          { label: "Model", values: quality((one) => one.metric), colour: "accent" },
          { label: "Baseline", values: quality((one) => one.baseline), colour: "waiting", dash: true },
        ],
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

  async openDay(day) {
    const { found, page } = this;
    const scored = found.scored.find((one) => one.day === day);
    this.detail.hidden = !scored;
    if (!scored) return;
    const measured = byDay(found.measured).get(day);
    const shown = h("div", {});
    const choose = (name) => this.segment(shown, name, day);
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
      !measured && h("p", { class: "soft" }, "Its quality is not measured yet: not all outcomes are known."),
      h("p", { class: "links" }, h("a", { class: "button", href: `?pipeline=${page.pipeline.name}&view=board&cell=${day}/score&until=${day}` }, "This day on the board"), h("a", { class: "button", href: `?pipeline=${page.pipeline.name}&view=one&day=${day}` }, "Its predictions, one by one")),
      found.segments.length > 0 &&
        h("div", { class: "joined", role: "group", "aria-label": "By" }, found.segments.map((name) => h("button", { type: "button", data: { name }, onclick: () => choose(name) }, `By ${name}`))),
      shown,
    );
    this.detail.scrollIntoView({ block: "nearest" });
    if (found.segments.length) choose(read().by ?? found.segments[0]);
  }

  async segment(place, name, day) {
    for (const button of this.detail.querySelectorAll("[data-name]")) button.setAttribute("aria-pressed", String(button.dataset.name === name));
    const groups = await get(`${this.page.pipeline.name}/predictions/segment?${new URLSearchParams({ name, first: day, last: day })}`, this.drawn.signal);
    const most = Math.max(...groups.map((group) => group.rows));
    const score = this.found.task === "binary" ? words.rate : words.number;
    const decided = groups.some((group) => group.share !== null);
    fill(
      place,
      h(
        "div", { class: "table" },
        h(
          "table", { class: "groups" },
          h("thead", {}, h("tr", {}, h("th", {}, name), h("th", { class: "number" }, "Predictions"), h("th", {}), h("th", { class: "number" }, "Mean"), decided && h("th", { class: "number" }, "Flagged"))),
          h(
            "tbody", {},
            groups.map((group) =>
              h(
                "tr", {},
                h("td", {}, group.value),
                h("td", { class: "number" }, words.count(group.rows)),
                h("td", { class: "bar" }, h("span", { style: { width: `${(100 * group.rows) / most}%` } })),
                h("td", { class: "number" }, score(group.mean)),
                decided && h("td", { class: "number" }, group.share === null ? "–" : words.rate(group.share)),
              ),
            ),
          ),
        ),
      ),
    );
  }
}

const byDay = (measured) => new Map(measured.map((one) => [one.day, one]));

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

function head(found, title, span) {
  const first = found.scored[0].day;
  const last = found.scored.at(-1).day;
  return h(
    "div", { class: "head" },
    h("div", {}, h("h1", {}, "Predictions"), h("p", { class: "soft" }, `${title}, ${words.day(first)} – ${words.day(last)}`)),
    h(
      "div", { class: "tools" },
      spans(found, first, last, span),
    ),
  );
}

const empty = (name) =>
  h("div", { class: "ready" }, h("h1", {}, "No predictions yet"), h("p", { class: "soft" }, "Train a model and promote it; then score the days after its training window:"), [`contrail train -p ${name}`, `contrail promote -p ${name}`, `contrail status -p ${name}`].map(command));

/** Features × days: how far each is from its training window, in thresholds. Above 1 is unusual. */
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
    h("h2", {}, "Drift"),
    h("p", { class: "soft" }, "Each column is a day. A filled cell lies above the threshold that a usual day of the training window rarely passes; a dark one above twice of it."),
    h("div", { class: "table" }, table),
    rest > 0 && h("p", { class: "soft" }, `${words.so(rest, "feature")} with less drift ${rest === 1 ? "is" : "are"} not shown.`),
  );
}

function happened(found) {
  if (!found.marks.length) return null;
  const row = (mark) => h("li", {}, h("span", { class: `dot ${mark.kind}` }), h("span", {}, words.day(mark.day)), h("span", {}, words.capital(mark.text)), h("span", { class: "soft" }, mark.at ? words.moment(mark.at) : ""));
  const newest = [...found.marks].sort((one, other) => (one.day < other.day ? 1 : -1));
  return h("section", {}, h("h2", {}, "What happened"), h("ul", { class: "events" }, newest.slice(0, 12).map(row)));
}
