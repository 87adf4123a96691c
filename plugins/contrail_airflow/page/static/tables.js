// Tables of the lake: how fresh each is; then one table's columns, and its snapshots with who made them and from what.

import { go } from "./address.js";
import { get } from "./airflow.js";
import { doc } from "./docs.js";
import { command, fill, h } from "./dom.js";
import { empty, table, tile, within } from "./pieces.js";
import * as words from "./words.js";

const GROUPS = [
  ["Published for analysts", (one) => one.view || ["features", "predictions", "predictions_shadow"].includes(one.name)],
  ["Measured and decided", (one) => ["drift", "drift_profiles", "performance", "profiles", "model_history", "governor", "corrections"].includes(one.name)],
  ["Kept aside", (one) => ["quarantine", "mended", "refusals"].includes(one.name)],
  ["Validated", (one) => one.name.startsWith("validated_")],
  ["Landed", (one) => one.name.startsWith("raw_")],
  ["Erased", () => true],
];

export async function tables(place, page, query) {
  if (query.table) return details(place, page, query.table);
  fill(place, h("p", { class: "busy" }, "Reading …"));
  const found = await get(`${page.pipeline.name}/tables`, page.signal);
  if (page.signal.aborted) return;
  const left = [...found];
  const groups = GROUPS.map(([label, belongs]) => [label, left.filter(belongs).map((one) => left.splice(left.indexOf(one), 1)[0])]);
  const nothing = !found.some((one) => one.rows);
  fill(
    place,
    nothing && empty("Nothing is published yet", h("p", {}, "The first command lands the files of a day, the second reads them. The board says what comes next."), command(`contrail land -p ${page.pipeline.name} --from DAY`), command(`contrail ingest -p ${page.pipeline.name} --from DAY`)),
    groups.filter(([, own]) => own.length).map(([label, own]) => group(label, own)),
  );
}

function group(label, own) {
  return h(
    "section", { class: "tables" },
    h("h2", {}, label),
    table(
      ["Table", "What a row is", { label: "Rows", number: true }, "Newest day", "Last changed"],
      own.map((one) => [
        within({ table: one.name }, {}, h("code", {}, one.name)),
        one.doc,
        one.view ? h("span", { class: "soft" }, "a view") : one.rows === null ? "–" : words.count(one.rows),
        one.last ? words.day(one.last) : h("span", { class: "soft" }, one.rows ? "no days" : "–"),
        one.changed_at ? words.moment(one.changed_at) : h("span", { class: "soft" }, one.view ? "with its tables" : "never"),
      ]),
      { label },
    ),
  );
}

async function details(place, page, name) {
  fill(place, back(), h("p", { class: "busy" }, "Reading …"));
  const found = await get(`${page.pipeline.name}/tables/${encodeURIComponent(name)}`, page.signal);
  if (page.signal.aborted) return;
  const { table: one } = found;
  const days = one.first ? words.days(one.first === one.last ? one.first : `${one.first}..${one.last}`) : null;
  fill(
    place,
    back(),
    h("div", {}, h("h2", {}, h("code", {}, one.name), " ", doc("docs/tables.html", "All columns explained", { class: "doc beside" })), h("p", {}, one.doc)),
    h(
      "dl", { class: "tiles" },
      tile("Rows", one.rows === null ? "–" : words.count(one.rows)),
      tile("Days", days ?? "–"),
      tile("Last changed", one.changed_at ? words.moment(one.changed_at) : "never"),
      tile("Snapshots kept", words.count(found.snapshots_kept)),
    ),
    h("section", {}, h("h3", {}, "Columns"), columns(found)),
    h("section", {}, h("h3", {}, "To read it"), command(`contrail query "SELECT * FROM ${one.name} LIMIT 20" -p ${page.pipeline.name}`)),
    found.snapshots.length > 0 && h("section", {}, h("h3", {}, "Snapshots"), found.lost && h("p", { class: "trouble" }, found.lost), snapshots(found)),
  );
}

const back = () => h("p", {}, h("button", { type: "button", class: "textual", onclick: () => go({ table: null }) }, "‹ All tables"));

const columns = ({ columns: all }) =>
  table(
    ["Column", "Type", "Meaning"],
    all.map((one) => [
      [h("code", {}, one.name), one.key && h("span", { class: "tag" }, "key"), one.personal && h("span", { class: "tag", title: "Queries and reports show pseudonyms" }, "personal")],
      [one.type, !one.required && h("span", { class: "soft" }, ", may be empty")],
      one.doc || h("span", { class: "soft" }, "Not described in pipeline.yaml"),
    ]),
    { label: "Columns" },
  );

const snapshots = ({ snapshots: all, snapshots_kept: kept }) => [
  table(
    ["Committed", "Made by", "Days", { label: "Rows written", number: true }, { label: "Rows in all", number: true }, "From", "Snapshot"],
    all.map((one) => ({
      "aria-current": one.current ? "true" : null,
      cells: [
        words.moment(one.committed_at),
        [h("strong", {}, one.stage || "another program"), said(one), one.run_id && h("div", { class: "run" }, one.run_id)],
        [one.partitions === "all" ? "all" : one.partitions.split(",").map((days) => h("div", {}, words.days(days.trim()))), one.same && h("div", { class: "soft" }, "the same rows as before")],
        one.written === null ? "–" : words.count(one.written),
        words.count(one.rows),
        one.inputs.length ? one.inputs.map((input) => h("div", { class: "run" }, input)) : h("span", { class: "soft" }, "no table"),
        [h("code", {}, one.snapshot), one.current && h("span", { class: "tag" }, "current"), one.tags.map((tag) => h("span", { class: "tag" }, tag)), one.code_revision && h("div", { class: "run" }, `code ${one.code_revision.slice(0, 8)}`)],
      ],
    })),
    { label: "Snapshots" },
  ),
  kept > all.length && h("p", { class: "soft" }, `The newest ${words.count(all.length)} of ${words.count(kept)} are shown.`),
];

const said = (one) =>
  Object.entries(one.said).map(([name, value]) => h("div", {}, { model_version: "model version ", person: "by ", reason: "because: ", backfill: "in the backfill ", rollback: "" }[name] ?? `${name} `, value));
