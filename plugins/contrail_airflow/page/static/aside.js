// What was kept aside: files that were refused whole, and rows in quarantine by rule, as they landed.

import { go } from "./address.js";
import { get } from "./airflow.js";
import { command, fill, h, tell } from "./dom.js";
import { empty, within } from "./pieces.js";
import { replay } from "./replay.js";
import * as words from "./words.js";

export async function aside(place, page, query) {
  const found = h("div", { class: "found" });
  fill(place, days(query), found);
  fill(found, h("p", { class: "busy" }, "Reading …"));
  const asked = new URLSearchParams({ ...(query.first && { first: query.first }), ...(query.last && { last: query.last }) });
  const { rules, refusals } = await get(`${page.pipeline.name}/quarantine?${asked}`, page.signal);
  if (page.signal.aborted) return;
  if (!rules.length && !refusals.length) {
    const said = query.first || query.last ? "Every row of these days kept the rules of its table, and no file was refused." : "Every row kept the rules of its table, and no file was refused. Rules are in the pipeline's expectations.py.";
    return void fill(found, empty("Nothing is kept aside", h("p", {}, said)));
  }
  fill(
    found,
    refusals.length > 0 && h("section", { "aria-label": "Refused whole" }, h("h2", {}, "Refused whole"), h("p", { class: "soft" }, "What was published before is kept. A corrected file takes its refusal away."), refusals.map((one) => refusal(one, page))),
    rules.length > 0 && h("section", { "aria-label": "Rows in quarantine" }, h("h2", {}, "Rows in quarantine, by rule"), rules.map((one) => rule(one, page, query, asked))),
  );
}

function days(query) {
  const field = (name, label) =>
    h("label", {}, label, h("input", { type: "date", value: query[name], onchange: (event) => go({ [name]: event.target.value || null, rule: null }) }));
  return h(
    "form", { class: "filter", onsubmit: (event) => event.preventDefault() },
    field("first", "First day"),
    field("last", "Last day"),
    (query.first || query.last) && h("button", { type: "button", onclick: () => go({ first: null, last: null }) }, "All days"),
  );
}

const refusal = (one, page) =>
  h(
    "article", { class: "refusal" },
    h("h3", {}, `${words.day(one.day)}: ${one.table}, ${one.rule}`),
    h("p", {}, one.detail),
    h("dl", { class: "pairs" }, one.file && [h("dt", {}, "File"), h("dd", {}, h("code", {}, one.file))], one.kept && [h("dt", {}, "Kept at"), h("dd", {}, h("code", {}, one.kept))], [h("dt", {}, "Refused"), h("dd", {}, `${words.moment(one.at)}, by ${one.stage}`)]),
    h("p", { class: "links" }, within({ first: one.day, last: one.day }, { class: "button" }, "This day's quarantine"), h("a", { class: "button", href: `?pipeline=${page.pipeline.name}&view=board&cell=${one.day}/${one.stage}&until=${one.day}` }, "On the board")),
    h("details", {}, h("summary", {}, "When the file is mended"), command(`contrail ingest -p ${page.pipeline.name} --from ${one.day} --to ${one.day}`), command(`contrail validate -p ${page.pipeline.name} --from ${one.day} --to ${one.day}`)),
  );

function rule(one, page, query, asked) {
  const id = `${one.table}/${one.rule}`;
  const body = h("div", { class: "rows" });
  const box = h(
    "details", { class: "rule", open: query.rule === id },
    h("summary", {}, h("strong", {}, `${one.table}: ${one.rule}`), " ", h("span", { class: "soft" }, `${words.so(one.rows, "row")} of ${one.days === 1 ? words.day(one.first) : `${words.so(one.days, "day")}, ${words.day(one.first)} to ${words.day(one.last)}`}`)),
    page.pipeline.may_replay && replay(one, page, asked),
    body,
  );
  let read = 0;
  let reading = false;
  async function more() {
    if (reading) return; // a second click would read the same rows again
    reading = true;
    const from = new URLSearchParams({ ...Object.fromEntries(asked), table: one.table, rule: one.rule, offset: read });
    try {
      const { rows, more: others } = await get(`${page.pipeline.name}/quarantine/rows?${from}`, page.signal);
      body.querySelector(".further")?.remove();
      read += rows.length;
      body.append(...rows.map((row) => kept(row)));
      body.append(h("p", { class: "further" }, others ? h("button", { type: "button", onclick: more }, `More of ${words.so(one.rows, "row")}`) : within({ rule: id }, {}, "Link to this rule")));
    } catch (error) {
      if (!page.signal.aborted) tell(error.message, "trouble");
    } finally {
      reading = false;
    }
  }
  box.addEventListener("toggle", () => box.open && !read && more());
  return box;
}

function kept(row) {
  return h(
    "figure", {},
    h("figcaption", {}, h("strong", {}, words.day(row.day)), " ", row.detail, h("span", { class: "soft" }, ` ${row.file}, line ${words.count(row.line)}`)),
    values(row.row),
  );
}

/** A landed row as names and values. */
function values(json) {
  try {
    return h("dl", { class: "values" }, Object.entries(JSON.parse(json)).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value === null ? "–" : String(value)))));
  } catch {
    return h("pre", {}, json);
  }
}
