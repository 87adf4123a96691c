// The questions that wait for an approver: of a promotion, or of a rollback. The answer goes to Airflow's own API with the reader's login, so Airflow checks
// who may answer, and keeps it.

import { go } from "./address.js";
import { airflow, runPath, to } from "./airflow.js";
import { fill, h, tell } from "./dom.js";
import * as words from "./words.js";

/** Fill a place with the question that waits for this pipeline; with nothing when none does. */
export async function approval(place, page) {
  let found = [];
  try {
    found = (await Promise.all(["rollback", "train"].map((name) => waiting(`${page.pipeline.name}__${name}`, page.signal)))).flat();
  } catch (error) {
    if (!page.signal.aborted && error.status !== 403) fill(place, h("p", { class: "trouble" }, `Airflow does not say whether a question waits: ${error.message}`));
    return;
  }
  if (!page.signal.aborted) fill(place, found.map((one) => question(one, page, () => approval(place, page))));
}

async function waiting(dag, signal) {
  const found = await airflow.get(`dags/${encodeURIComponent(dag)}/dagRuns/~/hitlDetails?response_received=false&order_by=-created_at`, signal);
  return found.hitl_details.filter((one) => one.task_instance.state === "awaiting_input");
}

/** The plan of a rollback, which is the body of its question: paragraphs, and a list of days. */
const plan = (body) =>
  body.split("\n\n").map((part) => (part.startsWith("- ") ? h("ul", { class: "reasons" }, part.split("\n").map((line) => h("li", {}, line.slice(2)))) : h("p", {}, part)));

function question(detail, page, again) {
  const { task_instance: task } = detail;
  const version = /\bversion (\d+)\b/.exec(detail.subject)?.[1];
  const names = detail.assigned_users.map((user) => user.name);
  const may = !names.length || names.includes(page.user);
  const reason = h("textarea", { name: "reason", rows: 2, required: true, placeholder: "Why you decide so, for the record" });
  const buttons = detail.options.map((option, at) => h("button", { type: "button", class: at === 0 ? "primary" : "", disabled: true, onclick: () => send(option) }, option));
  reason.addEventListener("input", () => buttons.forEach((button) => (button.disabled = !reason.value.trim())));
  const line = h("div", { class: "start" }, buttons);
  async function send(option) {
    buttons.forEach((button) => (button.disabled = true));
    const path = `dags/${encodeURIComponent(task.dag_id)}/dagRuns/${encodeURIComponent(task.dag_run_id)}/taskInstances/${encodeURIComponent(task.task_id)}/${task.map_index}/hitlDetails`;
    try {
      await airflow.patch(path, { chosen_options: [option], params_input: { reason: reason.value.trim() } });
      fill(form, h("p", { role: "status" }, `Your answer is kept: ${option}. The run goes on, and this page shows its end when you load it again.`), h("p", {}, h("a", { class: "button", ...to(runPath(task.dag_id, task.dag_run_id)) }, "Open the run in Airflow")));
      tell(`Answered: ${option}.`);
    } catch (error) {
      tell(error.message, "trouble");
      if (error.status === 409) again();
      else buttons.forEach((button) => (button.disabled = false));
    }
  }
  const form = may
    ? h("form", { onsubmit: (event) => event.preventDefault() }, h("label", {}, "Reason", reason), line)
    : h("p", { class: "soft" }, `${names.join(" or ")} may answer. You are logged in as ${page.user}.`);
  return h(
    "section", { class: "question", "aria-label": task.task_id === "rollback" ? "A rollback waits" : "A promotion waits" },
    h("h2", {}, detail.subject),
    h(
      "p", { class: "soft" }, `Asked ${words.moment(detail.created_at)}. `,
      version && h("button", { type: "button", class: "textual", onclick: () => { go({ version }); document.querySelector(".version")?.scrollIntoView({ block: "start" }); } }, `Read version ${version}'s evidence`),
      version && " · ",
      h("a", to(runPath(task.dag_id, task.dag_run_id, task.task_id)), "Task in Airflow"),
    ),
    task.task_id === "rollback" && plan(detail.body ?? ""),
    form,
  );
}
