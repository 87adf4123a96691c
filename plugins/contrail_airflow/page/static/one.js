// The view One prediction: search a key, then the score with what each feature did to it, the same entity on other days, the
// receipt, and what the score would be with other values.

import { follow, go, read } from "./address.js";
import { get } from "./airflow.js";
import { chart } from "./charts.js";
import { command, fill, h } from "./dom.js";
import { empty, facts, table, tile } from "./pieces.js";
import { flips, sources, versions } from "./why.js";
import * as words from "./words.js";

const SHOWN = 12; // features with the largest effect; the others are one line together

export async function show(place, page) {
  const view = new View(place, page);
  follow((query) => view.follow(query), page.signal); // before the first answer, so that no change of the address is lost
  await view.start();
}

class View {
  constructor(place, page) {
    this.place = place;
    this.page = page;
    this.base = `${page.pipeline.name}/prediction`;
    this.drawn = new AbortController();
    page.signal.addEventListener("abort", () => this.drawn.abort());
  }

  async start() {
    const { last } = await get(`${this.page.pipeline.name}/predictions?span=1`, this.page.signal);
    if (this.page.signal.aborted) return;
    this.newest = last;
    this.found = h("div", { class: "found" });
    this.one = h("div", { class: "explained" });
    this.search = h("form", { class: "filter", onsubmit: (event) => event.preventDefault() });
    fill(this.place, h("div", { class: "head" }, h("div", {}, h("h1", {}, "One prediction"), h("p", { class: "soft" }, "Why a score is what it is, what made it, and what would change it."))), this.search, this.found, this.one);
    if (!last) return void fill(this.found, empty("No predictions yet", h("p", {}, "Score some days first:"), command(`contrail status -p ${this.page.pipeline.name}`)));
    await this.follow(read());
  }

  async follow({ day = this.newest, text = "", key, changes }) {
    if (!day || !this.found) return; // there is nothing yet, or nothing at all
    const asked = `${day}/${text}`;
    if (asked !== this.asked) this.form(day, text);
    this.asked = asked;
    this.found.hidden = Boolean(key);
    this.one.hidden = !key;
    if (key) return this.explain(day, key, changes);
    this.working?.abort();
    fill(this.one);
    if (asked !== this.listed) await this.list(day, text);
  }

  form(day, text) {
    fill(
      this.search,
      h("label", {}, "Day", h("input", { type: "date", value: day, required: true, onchange: (event) => event.target.value && go({ day: event.target.value, key: null, changes: null }) })),
      h("label", { class: "grow" }, "Key", h("input", { type: "search", value: text, placeholder: "Words of the key", maxlength: 200, onchange: (event) => go({ text: event.target.value.trim(), key: null, changes: null }) })),
      h("button", { type: "submit" }, "Search"),
    );
  }

  async list(day, text) {
    this.searching?.abort(); // an earlier search must not answer this one
    this.searching = new AbortController();
    const signal = AbortSignal.any([this.searching.signal, this.page.signal]);
    this.listed = `${day}/${text}`;
    fill(this.found, h("p", { class: "busy" }, "Searching …"));
    try {
      const rows = await get(`${this.base}/find?${new URLSearchParams({ day, text })}`, signal);
      if (signal.aborted) return;
      if (!rows.length) return void fill(this.found, empty("Nothing found", h("p", {}, `No prediction of ${words.day(day)} has ${text ? `“${text}” in its key` : "been published"}.`)));
      const names = Object.keys(rows[0].key);
      const open = (one) => go({ day, key: JSON.stringify(one.key), changes: null });
      fill(
        this.found,
        table(
          [...names, { label: "Score", number: true }, ...(rows[0].decision === null ? [] : ["Decision"]), ""],
          rows.map((one) => ({
            class: "open", onclick: () => open(one),
            cells: [...names.map((name) => h("code", {}, String(one.key[name]))), this.score(one.score, one.decision), ...(one.decision === null ? [] : [one.decision ? "flagged" : "not flagged"]), h("button", { type: "button", class: "textual", onclick: () => open(one) }, "Explain")],
          })),
          { label: `Predictions of ${words.day(day)}` },
        ),
        rows.length === 50 && h("p", { class: "soft" }, "The 50 highest scores are shown. Words of the key find the others."),
      );
    } catch (error) {
      if (signal.aborted) return;
      this.listed = null;
      fill(this.found, h("pre", { class: "trouble" }, error.message));
    }
  }

  score(value, decision) {
    return decision === null ? words.number(value) : words.rate(value);
  }

  async explain(day, key, changes) {
    this.working?.abort();
    this.working = new AbortController();
    const signal = AbortSignal.any([this.working.signal, this.page.signal]);
    if (!this.one.childElementCount) fill(this.one, h("p", { class: "busy" }, "Explaining …"));
    try {
      const found = await get(`${this.base}?${new URLSearchParams({ day, key, ...(changes && { changes }) })}`, signal);
      if (signal.aborted) return;
      this.key = key;
      this.draw(found, changes ? JSON.parse(changes) : {});
    } catch (error) {
      if (signal.aborted) return;
      fill(this.one, this.back(), h("pre", { class: "trouble" }, error.message), changes && h("p", {}, h("button", { type: "button", onclick: () => go({ changes: null }) }, "Take the changes back")));
    }
  }

  back() {
    return h("p", { class: "links" }, h("button", { type: "button", onclick: () => go({ key: null, changes: null }) }, "‹ All predictions of the day"));
  }

  draw(found, changes) {
    const { receipt, published, changed, threshold } = found;
    const binary = found.task === "binary";
    const show = binary ? words.rate : words.number;
    const past = h("div", { class: "box" });
    const [before, flipping, rows] = ["part", "part narrow", "part"].map((name) => h("div", { class: name }));
    this.drawn.abort();
    this.drawn = new AbortController();
    const title = Object.entries(receipt.key).map(([name, value]) => `${name} ${value}`).join(", ");
    fill(
      this.one,
      this.back(),
      h("h2", {}, title),
      h(
        "dl", { class: "tiles" },
        tile(binary ? "Score" : "Prediction", show(receipt.prediction)),
        changed && tile("With your changes", moved(changed.score, receipt.prediction, binary, show)),
        receipt.decision !== null && tile("Decision", receipt.decision ? "flagged" : "not flagged"),
        threshold !== null && tile("Flagged from", words.rate(threshold)),
        tile("Model", `v${receipt.model.version}`),
        tile("Day", words.day(receipt.partition)),
      ),
      h("p", { class: found.same === false ? "trouble" : "soft" }, found.verdict),
      found.threshold_reason && h("p", { class: "soft" }, `Its decision: ${found.threshold_reason}.`),
      published && h("section", { "aria-label": "Reasons" }, h("h2", {}, "What each feature did"), h("p", { class: "soft" }, scale(binary)), this.waterfall(found, changes, show, binary)),
      Object.keys(changes).length > 0 && h("p", {}, h("button", { type: "button", onclick: () => go({ changes: null }) }, "Take the changes back")),
      binary && published && flipping,
      before,
      found.past.length > 1 && h("section", { "aria-label": "Other days" }, h("h2", {}, "The same on other days"), past),
      made(receipt),
      rows,
    );
    if (binary && published) flips(flipping, this, receipt);
    this.deeper(before, rows, receipt, show);
    if (found.past.length > 1) this.past(past, found, show);
  }

  /** What takes longer to find: earlier scores, and source rows. */
  async deeper(before, rows, receipt, show) {
    const signal = this.drawn.signal;
    fill(rows, h("p", { class: "busy" }, "Looking for the source rows …"));
    try {
      const asked = new URLSearchParams({ day: receipt.partition, key: this.key }).toString();
      if (this.deep?.asked !== asked) this.deep = { asked, found: get(`${this.base}/why?${asked}`, this.page.signal) };
      const found = await this.deep.found;
      if (signal.aborted) return;
      versions(before, found, show);
      sources(rows, found);
    } catch (error) {
      if (!signal.aborted) fill(rows, h("pre", { class: "trouble" }, error.message));
    }
  }

  waterfall(found, changes, show, binary) {
    const { effects, base, raw, score, calibrated } = found.changed ?? found.published;
    const before = new Map(found.published.effects.map((one) => [one.feature, one]));
    const first = effects.filter((one, at) => at < SHOWN || one.feature in changes);
    const rest = effects.filter((one) => !first.includes(one));
    let at = base;
    const steps = first.map((one) => ({ ...one, from: at, to: (at += one.contribution) }));
    const others = rest.reduce((sum, one) => sum + one.contribution, 0);
    const ends = [base, raw, ...steps.map((one) => one.to)];
    const [least, most] = [Math.min(...ends), Math.max(...ends)];
    const place = (value) => (100 * (value - least)) / (most - least || 1);
    // A calibration step follows the trees. What it makes of a part of their sum says nothing.
    const means = (value) => (binary && !calibrated ? words.rate(1 / (1 + Math.exp(-value))) : words.number(value));
    const bar = (from, to) => h("span", { class: "step", data: { way: to > from ? "up" : "down" } }, h("i", { style: { left: `${place(Math.min(from, to))}%`, width: `${Math.max(0.4, Math.abs(place(to) - place(from)))}%` } }));
    const line = (name, value, step, sum, attributes = {}) => ({ ...attributes, cells: [name, value, step, sum] });
    const rows = [
      line(h("strong", {}, "Mean of the training"), "", "", means(base)),
      ...steps.map((one) =>
        line(
          h("span", {}, h("code", {}, one.feature), h("small", {}, one.meaning)),
          this.value(one, before.get(one.feature), found.choices[one.feature], changes),
          h("span", { class: "effect" }, h("b", {}, words.signed(one.contribution)), bar(one.from, one.to)),
          means(one.to),
          { "aria-current": one.feature in changes ? "true" : null },
        ),
      ),
      rest.length > 0 && line(h("span", { class: "soft" }, words.so(rest.length, "other feature")), "", h("span", { class: "effect" }, h("b", {}, words.signed(others)), bar(at, raw)), means(raw)),
      calibrated && line(h("span", { class: "soft" }, "Before the calibration step"), "", "", means(raw)),
      line(h("strong", {}, found.changed ? "With your changes" : "Score"), "", "", h("strong", {}, show(score))),
    ].filter(Boolean);
    return table(["Feature", "Value: change it to see what if", binary ? "Effect, in log-odds" : "Effect", { label: binary && calibrated ? "Then, in log-odds" : "Then", number: true }], rows, { label: "What each feature did to the score" });
  }

  /** A field with the value of a feature. Empty means unknown. */
  value(one, before, choices, changes) {
    if (one.hidden) return h("span", { class: "soft" }, "personal, not shown");
    const set = (value) => {
      const next = { ...changes, [one.feature]: value };
      if (value === before.value) delete next[one.feature];
      go({ changes: Object.keys(next).length ? JSON.stringify(next) : null }, { replace: true });
    };
    const label = `${one.feature}: ${one.meaning}`;
    if (one.kind === "category")
      return h("select", { "aria-label": label, onchange: (event) => set(event.target.value === "" ? null : event.target.value) }, h("option", { value: "", selected: one.value === null }, "unknown"), [...new Set([one.value, ...choices])].filter((value) => value !== null).map((value) => h("option", { value, selected: value === one.value }, value)));
    if (typeof one.value === "boolean" || typeof before.value === "boolean")
      return h("select", { "aria-label": label, onchange: (event) => set({ true: true, false: false, "": null }[event.target.value]) }, [["", "unknown"], ["true", "yes"], ["false", "no"]].map(([value, text]) => h("option", { value, selected: String(one.value ?? "") === value }, text)));
    return h("input", { type: "number", step: "any", "aria-label": label, value: legible(one.value), placeholder: "unknown", onchange: (event) => set(event.target.value === "" ? null : Number(event.target.value)) });
  }

  past(place, { past: found, entity, receipt: { partition: day } }, show) {
    const key = h("p", { class: "key" });
    place.before(key);
    const said = (at) => fill(key, h("span", {}, `${words.day(found[at].day)}: `), h("b", {}, show(found[at].score)), ` by version ${found[at].version}`);
    chart(place, { days: found.map((one) => one.day), show, series: [{ label: "Score", values: found.map((one) => one.score), colour: "accent" }], marks: [{ day, kind: "promotion" }], said, pick: (other) => Object.keys(entity).length && go({ day: other, key: JSON.stringify(entity), changes: null }), signal: this.drawn.signal });
  }
}

const moved = (now, before, binary, show) => `${show(now)} (${binary ? `${words.signed(Math.round((now - before) * 1000) / 10)} points` : words.signed(now - before)})`;
// Six digits are enough to read; the score is computed with all of them until somebody types others.
const legible = (value) => (typeof value === "number" && !Number.isInteger(value) ? Number(value.toPrecision(6)) : value);

const scale = (binary) => (binary ? "Effects add up in log-odds; the last column says what the score is after each." : "Effects add up in units of the label, from the mean of the training to the prediction.");

function made(receipt) {
  const { model, features, scoring } = receipt;
  return h(
    "section", { "aria-label": "Receipt" },
    h("h2", {}, "What made it"),
    facts([
      ["Scored", words.moment(receipt.scored_at)],
      ["Run", h("span", { class: "run" }, receipt.scoring_run)],
      ["Code of the scoring", scoring && h("code", {}, scoring.code_revision.slice(0, 12))],
      ["Model", `version ${model.version}, trained on ${words.days(model.training_window)}, ${words.so(model.training_rows, "row")}`],
      ["Code of the training", h("code", {}, model.code_revision.slice(0, 12))],
      ["Training set", h("code", {}, `MD5 ${model.training_set_md5}`)],
      ["Features", h("code", {}, `snapshot ${receipt.features_snapshot}`)],
      ["Features made", features && words.moment(features.committed_at)],
      ["From", features && h("code", {}, Object.entries(features.inputs).map(([name, snapshot]) => `${name}@${snapshot}`).join(" "))],
    ]),
  );
}
