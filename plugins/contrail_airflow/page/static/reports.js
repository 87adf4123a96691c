// Reports in place: data docs, drift, decisions, backfills and searches. A page lies in a frame of its own, which may not reach
// Airflow: without scripts where it needs none, and without Airflow's origin where it draws with scripts.

import { go } from "./address.js";
import { get } from "./airflow.js";
import { command, fill, h } from "./dom.js";
import { empty, within } from "./pieces.js";
import * as words from "./words.js";

const KINDS = {
  data_docs: ["Data docs", "What each validation checked, and what broke."],
  drift: ["Drift", "How the features of scored days differ from the days before them."],
  decisions: ["Decisions", "The records of the gate, as approvers read them."],
  backfills: ["Backfills", "What each backfill did, and how scores changed."],
  tuning: ["Searches for parameters", "What each search found, and how sure that is."],
};

export async function reports(place, page, query) {
  fill(place, h("p", { class: "busy" }, "Reading …"));
  const found = await get(`${page.pipeline.name}/reports`, page.signal);
  if (page.signal.aborted) return;
  if (!found.length) {
    return void fill(place, empty("No report yet", h("p", {}, "Validation, promotion, drift and backfills each leave one. The first comes with:"), command(`contrail validate -p ${page.pipeline.name} --from DAY`)));
  }
  fill(place, query.report ? opened(page, query.report, found) : Object.entries(KINDS).map(([kind, [label, what]]) => group(found.filter((one) => one.kind === kind), label, what)));
}

const name = (one) => (one.first ? words.days(one.first === one.last ? one.first : `${one.first}..${one.last}`) : words.moment(one.at));

function group(own, label, what) {
  if (!own.length) return null;
  return h(
    "section", { class: "reports", "aria-label": label },
    h("h2", {}, label),
    h("p", { class: "soft" }, what),
    h("ul", {}, own.map((one) => h("li", {}, within({ report: `${one.kind}/${one.path}` }, {}, name(one)), h("span", { class: "soft" }, `written ${words.moment(one.at)}`), h("span", { class: "run" }, one.path.replace(/\.html$/, ""))))),
  );
}

function opened(page, report, found) {
  const [kind, ...rest] = report.split("/");
  const one = found.find((each) => `${each.kind}/${each.path}` === report);
  const title = `${KINDS[kind]?.[0] ?? "Report"}${one ? `: ${name(one)}` : ""}`;
  const path = ["reports", page.pipeline.name, kind, ...rest].map(encodeURIComponent).join("/");
  return [
    h("p", {}, h("button", { type: "button", class: "textual", onclick: () => go({ report: null }) }, "‹ All reports")),
    h("h2", {}, title),
    one || rest.length ? h("iframe", { class: "report", title, src: path, sandbox: kind === "drift" ? "allow-scripts" : "allow-same-origin", referrerpolicy: "same-origin" }) : null,
  ];
}
