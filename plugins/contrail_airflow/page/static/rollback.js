// The way back to an earlier version: its plan, and the run of __rollback that does it. An approver's run begins at once. Of
// others who may start runs, it waits for an approver. Airflow's own API starts it with the reader's login.

import { airflow, get, runPath, to } from "./airflow.js";
import { doc } from "./docs.js";
import { command, fill, h, tell } from "./dom.js";
import { table } from "./pieces.js";
import * as words from "./words.js";

const START = {
  start: { label: (plan) => `Roll back to version ${plan.to_version}`, about: (dag) => `It starts ${dag} as you. Airflow writes that into its audit log.`, begun: "The rollback has begun." },
  ask: { label: () => "Ask an approver", about: (dag) => `It starts ${dag}, which changes nothing until an approver answers.`, begun: "The run plans the rollback, and then waits for an approver, who finds the question on this page." },
};

export function rollback(page, version) {
  const result = h("div", { class: "result" });
  const button = h("button", { type: "button", onclick: ask }, `Plan a rollback to version ${version}`);
  async function ask() {
    fill(result, h("p", { class: "busy" }, "Planning …"));
    try {
      const found = await get(`${page.pipeline.name}/models/${version}/rollback`, page.signal);
      fill(result, shown(found.plan), START[found.may] ? start(found) : only(found));
    } catch (error) {
      if (!page.signal.aborted) fill(result, h("pre", { class: "trouble" }, error.message));
    }
  }
  return h("section", { class: "rollback" }, h("h3", {}, "Roll back", " ", doc("docs/promotion.html#take-a-champion-back", "How it works", { class: "doc beside" })), h("p", {}, button), result);
}

function shown(plan) {
  return [
    h("p", {}, `Version ${plan.to_version} becomes champion instead of version ${plan.bad_version}, for days from ${words.day(plan.effective_from)} on. ${plan.rows ? `${words.so(plan.rows, "row")} of ${words.so(plan.partitions, "day")} that version ${plan.bad_version} scored are scored again.` : "Nothing is left to score again."}`),
    plan.jobs.length > 0 && table(["Days", { label: "Rows", number: true }], plan.jobs.map((job) => [words.days(`${job.from}..${job.to}`), words.count(job.rows)]), { label: "Days scored again" }),
  ];
}

const only = (found) => [h("p", { class: "soft" }, "Nothing has changed. An approver can do this here. At a terminal, with the reason for the record:"), command(found.command)];

function start({ plan, dag_id, conf, may }) {
  const said = START[may];
  const reason = h("textarea", { name: "why", rows: 2, required: true, placeholder: "Why, for the record", oninput: () => (button.disabled = !reason.value.trim()) });
  const button = h("button", { type: "button", class: "primary", disabled: true, onclick: send }, said.label(plan));
  const line = h("p", { class: "start" }, button, h("span", { class: "soft" }, said.about(dag_id)));
  async function send() {
    button.disabled = true;
    try {
      const run = await airflow.post(`dags/${dag_id}/dagRuns`, { logical_date: null, conf: { ...conf, reason: reason.value.trim() } });
      reason.disabled = true;
      fill(line, h("a", { class: "button", ...to(runPath(dag_id, run.dag_run_id)) }, "Open the run in Airflow"), h("span", { role: "status" }, said.begun));
      tell(said.begun);
    } catch (error) {
      button.disabled = false;
      tell(error.message, "trouble");
    }
  }
  return h("form", { class: "starting", onsubmit: (event) => event.preventDefault() }, h("label", {}, "Reason", reason), line);
}
