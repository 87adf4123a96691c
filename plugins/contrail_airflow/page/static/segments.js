// Predictions by the values of a category: a table with volumes, decisions, and what outcomes showed. A value opens its segment.

import { go } from "./address.js";
import { get } from "./airflow.js";
import { fill, h } from "./dom.js";
import { choice, within } from "./pieces.js";
import * as words from "./words.js";

export const METRICS = { log_loss: "Log loss", auc: "AUC", brier: "Brier score", rmse: "RMSE", mae: "Mean absolute error" };

/** The segment that the address opens, for example carrier:UA; null for all predictions. */
export function segmentOf({ only }) {
  const at = only?.indexOf(":") ?? -1;
  return at > 0 ? { by: only.slice(0, at), of: only.slice(at + 1) } : null;
}

/** Fill a place with a choice of categories, and the values of the chosen one on some days. `found` is the view's answer. */
export function segments(place, page, found, { first, last, by, signal }) {
  const { segments: names } = found;
  const chosen = names.includes(by) ? by : names[0];
  const shown = h("div", {}, h("p", { class: "busy" }, "Reading …"));
  fill(place, choice("By", names.map((name) => [name, `By ${name}`]), chosen, (name) => go({ by: name })), shown);
  const asked = new URLSearchParams({ name: chosen, first, last });
  get(`${page.pipeline.name}/predictions/segment?${asked}`, signal).then(
    (groups) => fill(shown, groups.length ? table(groups, chosen, found) : h("p", { class: "soft" }, "No predictions on these days.")),
    (error) => signal.aborted || fill(shown, h("pre", { class: "trouble" }, error.message)),
  );
}

function table(groups, name, found) {
  const most = Math.max(...groups.map((group) => group.rows));
  const score = found.task === "binary" ? words.rate : words.number;
  const decided = groups.some((group) => group.share !== null);
  const measured = groups.some((group) => group.quality);
  const open = found.segment?.name === name ? found.segment.value : null;
  const number = (text) => h("th", { class: "number", scope: "col" }, text);
  const value = (known, show) => h("td", { class: "number" }, known === null || known === undefined ? "–" : show(known));
  const row = (group) => {
    const { quality } = group;
    return h(
      "tr", { "aria-current": group.value === open ? "true" : null },
      h("td", {}, within({ only: `${name}:${group.value}`, day: null }, { title: `Only ${name} ${group.value}` }, group.value)),
      value(group.rows, words.count),
      h("td", { class: "bar" }, h("span", { style: { width: `${(100 * group.rows) / most}%` } })),
      decided && value(group.share, words.rate),
      value(group.mean, score),
      measured && [
        value(quality?.label_mean, score),
        value(quality?.metric, words.number),
        value(quality && quality.labelled / quality.rows, words.rate),
      ],
    );
  };
  return h(
    "div", { class: "table", tabindex: 0, role: "region", "aria-label": `By ${name}` },
    h(
      "table", { class: "groups" },
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, name), number("Predictions"), h("th", { class: "bar" }), decided && number("Flagged"), number("Predicted"), measured && [number("Found"), number(METRICS[found.metric] ?? found.metric), number("Outcomes known")])),
      h("tbody", {}, groups.map(row)),
    ),
  );
}
