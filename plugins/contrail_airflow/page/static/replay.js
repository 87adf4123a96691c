// A replay of mended rows: the rows of a rule as CSV to take away, and the mended ones to give back. The plan says what they
// would change. One button starts the replay through Airflow's own API with the reader's login.

import { airflow, post, runPath, to } from "./airflow.js";
import { fill, h, tell } from "./dom.js";
import { table, tile } from "./pieces.js";
import * as words from "./words.js";

/** The form below the rows of a rule. `asked` has the days that the reader looks at. */
export function replay(rule, page, asked) {
  const query = new URLSearchParams({ ...Object.fromEntries(asked), table: rule.table, rule: rule.rule });
  const rows = h("input", { type: "file", accept: ".csv,text/csv" });
  const sql = h("textarea", { rows: 3, spellcheck: false, placeholder: `SELECT _file, _line, … AS … FROM quarantined WHERE _rule = '${rule.rule}'` });
  const reason = h("input", { type: "text", required: true, maxlength: 2000, placeholder: "Why, for the record" });
  const result = h("div", { class: "result", "aria-live": "polite" });
  let working = null;
  async function ask(event) {
    event.preventDefault();
    working?.abort(); // the plan of earlier rows must not stand under these
    working = new AbortController();
    const signal = AbortSignal.any([working.signal, page.signal]);
    fill(result, h("p", { class: "busy" }, `Judging the mended rows … ${rows.files.length ? "" : "SQL may take up to ten minutes."}`));
    try {
      const [file] = rows.files;
      const mended = { table: rule.table, reason: reason.value, rows: file ? await file.text() : "", sql: file ? "" : sql.value };
      const found = await post(`${page.pipeline.name}/replay/plan`, mended, signal);
      if (!signal.aborted) fill(result, shown(found.plan), start(found));
    } catch (error) {
      if (!signal.aborted) fill(result, h("pre", { class: "trouble" }, error.message));
    }
  }
  return h(
    "details", { class: "replay" },
    h("summary", {}, "Mend these rows"),
    h("p", {}, h("a", { class: "button", href: `api/${page.pipeline.name}/quarantine/csv?${query}`, download: `${page.pipeline.name}-${rule.table}.csv` }, "Download them as CSV"), h("span", { class: "soft" }, " Change the values, and leave _file and _line as they are.")),
    h(
      "form", { onsubmit: ask },
      h("label", {}, "Mended rows, as CSV", rows),
      h("label", {}, "Or SQL that mends them", sql),
      h("label", {}, "Reason", reason),
      h("button", { type: "submit" }, "Show what would change"),
    ),
    result,
  );
}

function start({ plan, dag_id, conf }) {
  if (!plan.mended) return h("p", { class: "calm" }, "These rows are mended so already. There is nothing to do.");
  const button = h("button", { type: "button", class: "primary" }, `Replay ${words.so(plan.mended, "row")}`);
  const line = h("p", { class: "start" }, button, h("span", { class: "soft" }, `It starts ${dag_id} as you. Airflow writes that into its audit log.`));
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      const run = await airflow.post(`dags/${dag_id}/dagRuns`, { logical_date: null, conf });
      const { is_paused: paused } = await airflow.get(`dags/${dag_id}`);
      fill(line, h("a", { class: "button", ...to(runPath(dag_id, run.dag_run_id)) }, "Open the run in Airflow"), h("span", {}, paused ? `${dag_id} is paused, so the run waits until somebody unpauses it.` : "The replay has begun."));
      tell("The replay has begun.");
    } catch (error) {
      button.disabled = false;
      tell(error.message, "trouble");
    }
  });
  return line;
}

function shown(plan) {
  const kept = Object.entries(plan.kept).map(([rule, count]) => `${words.count(count)} for ${rule}`).join(", ");
  return [
    h(
      "dl", { class: "tiles" },
      tile("Rows mended", words.count(plan.mended)),
      tile("Pass", words.count(plan.passed)),
      tile("Stay in quarantine", kept || "none"),
      tile("Days", plan.days.map(words.days).join(", ") || "–"),
      tile("Features built again", plan.features ? words.days(plan.features) : "none"),
      tile("Scored again", plan.scores ? words.days(plan.scores) : "none"),
    ),
    plan.following.length > 0 && h("p", {}, `Rows of ${words.so(plan.following.length, "other day")} refer to them, and are judged again: ${plan.following.join(", ")}.`),
    plan.refused.map((words_) => h("p", { class: "trouble" }, `The day stays refused all the same. ${words_}`)),
    plan.rows.length > 0 &&
      table(
        ["Day", "File and line", "Changes", "Now"],
        plan.rows.map((row) => [
          words.day(row.day),
          `${row.file}, line ${words.count(row.line)}`,
          Object.entries(row.changes).map(([name, [before, after]]) => h("div", {}, h("code", {}, name), ` ${before ?? "nothing"} → ${after ?? "nothing"}`)),
          row.still ? `${row.still}: ${row.detail}` : "passes",
        ]),
        { label: "Mended rows" },
      ),
    plan.mended > plan.rows.length && h("p", { class: "soft" }, `The first ${words.count(plan.rows.length)} of ${words.count(plan.mended)} rows are shown.`),
  ];
}
