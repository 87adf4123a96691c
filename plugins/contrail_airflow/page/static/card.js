// The card of a cell: why it is so, the broken rule with file, line and rows, the run in Airflow, and what to do.

import { get, runPath, to } from "./airflow.js";
import { doc } from "./docs.js";
import { command, fill, h } from "./dom.js";
import { STATES, mark, stateOf } from "./states.js";
import * as words from "./words.js";

let open = null;

export function closeCard() {
  open?.close("address");
}

/** Whether the card of a key is open, so that a board which is read again leaves it to its reader. */
export const isOpen = (key) => open?.dataset.key === key;

/** A card at the side, in place of the one before. `closed` is called when the reader closes it. */
export function dialog(page, key, title, below, closed) {
  closeCard();
  const body = h("div", { class: "body" });
  const element = h(
    "dialog", { class: "card", "aria-label": `${below} of ${title}`, data: { key } },
    h(
      "header", {},
      h("div", {}, h("h2", {}, title), h("p", { class: "soft" }, below)),
      h("button", { type: "button", class: "quiet close", "aria-label": "Close", onclick: () => element.close() }, "✕"),
    ),
    body,
  );
  element.addEventListener("click", (event) => event.target === element && element.close());
  element.addEventListener("close", () => {
    element.remove();
    if (open === element) open = null;
    if (element.returnValue !== "address") closed();
  });
  document.body.append(element);
  open = element;
  element.showModal();
  page.signal.addEventListener("abort", () => element.close("address"));
  return { element, body };
}

/** Open the card of a day and stage. `closed` is called when the reader closes it, `backfill` when they choose that. */
export async function openCard(page, day, stage, { closed, backfill }) {
  const key = `${day}/${stage}`;
  if (isOpen(key)) return;
  const { body } = dialog(page, key, words.day(day), words.capital(stage), closed);
  fill(body, h("p", { class: "busy" }, "Reading …"));
  try {
    const card = await get(`${page.pipeline.name}/board/${day}/${stage}`, page.signal);
    fill(body, sections(card, page, backfill));
  } catch (error) {
    if (!page.signal.aborted) fill(body, h("pre", { class: "trouble" }, error.message));
  }
}

function sections(card, page, backfill) {
  const { cell } = card;
  const { state, run } = stateOf(cell, card.stage, card.runs);
  const sentence = { running: "A run of Airflow works on it now.", failed: "Its task in Airflow ended with an error. The log says which." }[state];
  return [
    h("p", { class: "verdict", data: { state } }, mark(state), h("strong", {}, STATES[state].label), h("span", {}, sentence ?? card.sentence)),
    card.refusals.map(refusal),
    card.broken.length > 0 && h("section", {}, h("h3", {}, "Rows kept aside"), card.broken.map(rule)),
    links(card, run ?? card.runs.find((one) => one.stages[card.stage] === "failed")), // a refusal too has its log
    facts(card),
    todo(card, page, backfill, state),
  ];
}

const refusal = (one) =>
  h(
    "section", { class: "refusal" },
    h("h3", {}, `${one.table}: ${one.rule}`),
    h("p", {}, one.detail),
    h("dl", {}, one.file && [h("dt", {}, "File"), h("dd", {}, h("code", {}, one.file))], one.kept && [h("dt", {}, "Kept at"), h("dd", {}, h("code", {}, one.kept))], [h("dt", {}, "Refused"), h("dd", {}, words.moment(one.at))]),
  );

function rule(one) {
  return h(
    "details", { class: "rule" },
    h("summary", {}, h("strong", {}, `${one.table}: ${one.rule}`), " ", h("span", { class: "soft" }, words.so(one.rows, "row"))),
    one.samples.map((sample) =>
      h(
        "figure", {},
        h("figcaption", {}, sample.detail, h("span", { class: "soft" }, ` ${sample.file}, line ${words.count(sample.line)}`)),
        values(sample.row),
      ),
    ),
  );
}

/** A landed row as names and values. */
function values(json) {
  try {
    const row = JSON.parse(json);
    return h("dl", { class: "values" }, Object.entries(row).map(([name, value]) => [h("dt", {}, name), h("dd", {}, value === null ? "–" : String(value))]));
  } catch {
    return h("pre", {}, json);
  }
}

function links(card, urgent) {
  const run = urgent ?? card.runs[0];
  if (!run) return null;
  return h(
    "p", { class: "links" },
    h("a", { class: "button", ...to(runPath(run.dag, run.run, card.stage)) }, "Log in Airflow"),
    h("a", { class: "button", ...to(runPath(run.dag, run.run)) }, "Run"),
    h("a", { class: "button", ...to(`dags/${encodeURIComponent(run.dag)}`) }, run.dag),
  );
}

function facts(card) {
  const { cell } = card;
  const rows = [
    ["Rows", cell.rows === null ? null : `${words.count(cell.rows)} in ${card.table}`],
    ["Last changed", cell.at && words.moment(cell.at)],
    ["Took", cell.seconds === null ? null : words.duration(cell.seconds)],
    ["Model", cell.model && `version ${cell.model}`],
    ["Run", cell.run && h("code", {}, cell.run)],
    ["Code", card.code && h("code", {}, card.code.slice(0, 12) + (card.code.endsWith("+dirty") ? " with changes" : ""))],
  ].filter(([, value]) => value);
  return rows.length ? h("dl", { class: "facts" }, rows.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])) : null;
}

function todo(card, page, backfill, state) {
  const can = page.pipeline.may_backfill && ["stale", "missing", "failed", "unknown"].includes(state);
  if (!can && !card.commands.length) return null;
  const mended = state === "refused" ? h("p", {}, "Land a mended file, mend the rows (Data, Kept aside), or change the contract in expectations.py. Then clear the task, or run:") : null;
  return h(
    "section", { class: "todo" },
    h("h3", {}, "What to do"),
    mended && [mended, doc("docs/troubleshooting.html#a-stage-refused-my-data", "On refused data")],
    can && h("p", {}, h("button", { type: "button", class: "primary", onclick: backfill }, "Plan a backfill of this day")),
    card.commands.map(command),
  );
}
