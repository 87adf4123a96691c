// Parts of the view One prediction that are read after it is drawn: every score that was published for the row, the source
// rows with file and line, and the changes that would flip the decision.

import { go } from "./address.js";
import { get } from "./airflow.js";
import { fill, h } from "./dom.js";
import { facts, table } from "./pieces.js";
import * as words from "./words.js";

const again = (one) => (one.same === null ? "no longer possible" : one.same ? "the same" : "another");

/** What readers saw of the row over time; nothing where it was published once. */
export function versions(place, { published, older_expired: expired }, show) {
  if (published.length < 2 && !expired) return;
  fill(
    place,
    h(
      "section", { "aria-label": "Published" },
      h("h2", {}, "What was published"),
      table(
        ["Published", { label: "Score", number: true }, "Model", "Because of", "Computed again", "Run"],
        published.map((one) => ({
          "aria-current": one.shown ? "true" : null,
          cells: [words.moment(one.published_at), show(one.prediction), `v${one.model_version}`, one.cause ?? "", h("span", { title: one.verdict }, again(one)), h("span", { class: "run" }, one.scoring_run)],
        })),
        { label: "What was published" },
      ),
      expired && h("p", { class: "soft" }, "Older snapshots have expired. What was published before them is not listed."),
    ),
  );
}

/** The rows that the features were made of, by table, with file and line. */
export function sources(place, { sources: all }) {
  if (!all.length) return void fill(place);
  fill(
    place,
    h(
      "section", { "aria-label": "Source rows" },
      h("h2", {}, "Source rows"),
      h("p", { class: "soft" }, "All rows that the features’ code was given for this day, so all that can have made them. The nearest are shown: those that have most in common with this row."),
      all.map(source),
    ),
  );
}

function source(one) {
  const names = one.shown.length ? Object.keys(one.shown[0].values) : [];
  const files = Object.entries(one.files);
  return h(
    "section", { class: "source", "aria-label": `Rows of ${one.table}` },
    h("h3", {}, h("code", {}, one.table), ` ${words.so(one.rows, "row")}`),
    one.gone && h("p", {}, `Not to be seen any more: ${one.gone}`),
    one.shown.length > 0 && table(["Landed file", { label: "Line", number: true }, ...names, "In common"], one.shown.map((row) => [[h("code", {}, row.file ?? "no longer kept"), row.mended && h("span", { class: "soft" }, ` ${row.mended}`)], row.line === null ? "–" : words.count(row.line), ...names.map((name) => said(row.values[name])), row.shares.join(", ")]), { label: `Nearest rows of ${one.table}` }),
    one.groups.length > 0 &&
      h(
        "details", {},
        h("summary", {}, `All ${words.so(one.rows, "row")} by what they have in common, and ${words.so(files.length, "file")}`),
        table(["In common", { label: "Rows", number: true }, "Days"], one.groups.map((group) => [group.shares.join(", ") || "nothing", words.count(group.rows), group.first ? words.days(group.first === group.last ? group.first : `${group.first}..${group.last}`) : ""]), { label: `Rows of ${one.table}` }),
        table(["Landed file", { label: "Rows", number: true }], files.map(([file, rows]) => [h("code", {}, file), words.count(rows)]), { label: `Files of ${one.table}` }),
      ),
    one.checked.map((made) => facts([["Validated", words.moment(made.committed_at)], ["Days", made.days.map(words.days).join(", ")], ["Run", h("span", { class: "run" }, made.run_id)], ["Code", h("code", {}, made.code_revision.slice(0, 12))], ["Contract", made.contract && h("code", {}, made.contract)]])),
  );
}

const moment = /^\d{4}-\d\d-\d\dT/;
const said = (value) => (value === null ? "–" : moment.test(value) ? value.slice(0, 16).replace("T", " ") : legible(value));

/** A button that finds the smallest changes which flip the decision; a click on one makes it. */
export function flips(place, view, receipt) {
  const search = async () => {
    const signal = view.drawn.signal;
    fill(place, h("p", { class: "busy" }, "Trying other values …"));
    try {
      const found = await get(`${view.base}/flips?${new URLSearchParams({ day: receipt.partition, key: view.key })}`, signal);
      if (!signal.aborted) fill(place, flipped(found));
    } catch (error) {
      if (!signal.aborted) fill(place, h("pre", { class: "trouble" }, error.message));
    }
  };
  fill(place, h("p", {}, h("button", { type: "button", onclick: search }, "What would flip the decision?")));
}

function flipped({ single, double, tried }) {
  const rows = [...single, ...double];
  const change = (one) => Object.entries(one.changes).map(([name, value]) => h("div", {}, h("code", {}, name), ` ${one.before[name] === null ? "unknown" : legible(one.before[name])} → `, h("b", {}, legible(value))));
  return h(
    "section", { "aria-label": "What would flip the decision" },
    h("h2", {}, "What would flip the decision"),
    rows.length > 0 && table(["Change", { label: "Score then", number: true }, { label: "Size", number: true }, ""], rows.map((one) => [change(one), words.rate(one.score), words.rate(one.size), h("button", { type: "button", class: "textual", onclick: () => go({ changes: JSON.stringify(one.changes) }) }, "Try it")]), { label: "Changes that flip the decision" }),
    h("p", { class: "soft" }, rows.length > 0 && "The size adds up the share of the training’s rows between the old and the new value; a category counts 100 %. ", tried),
  );
}

const legible = (value) => (typeof value === "number" ? String(Number(value.toPrecision(6))) : String(value));
