// A run of Airflow that the page has started, followed to its end: its state, and what it left to read.

import { airflow, get, nameOf, runPath, to } from "./airflow.js";
import { fill, h, tell } from "./dom.js";
import { within } from "./pieces.js";

const EVERY = 3000; // milliseconds between two looks
const ENDED = { success: "It has ended well.", failed: "It has failed; the run's page says where." };

/** Show a started backfill in `place` until it has ended or `signal` is aborted. */
export async function follow(place, page, dag, run, signal) {
  const link = h("a", { class: "button", ...to(runPath(dag, run.dag_run_id)) }, "Open the run in Airflow");
  const said = h("span", { role: "status" }, "The backfill has begun.");
  fill(place, link, said);
  for (let state = run.state; !signal.aborted; state = await look(dag, run.dag_run_id, said)) {
    if (ENDED[state]) return void ended(place, page, run, link, state);
    await new Promise((resume) => setTimeout(resume, EVERY));
  }
}

async function look(dag, run, said) {
  try {
    const [found, { is_paused: paused }] = await Promise.all([airflow.get(`dags/${dag}/dagRuns/${encodeURIComponent(run)}`), airflow.get(`dags/${dag}`)]);
    const waits = found.state === "queued" && paused;
    said.textContent = waits ? `${dag} is paused, so the run waits until somebody unpauses it.` : `The backfill is ${found.state}.`;
    return found.state;
  } catch (error) {
    said.textContent = `Its state is not known now: ${error.message}`;
    return null;
  }
}

async function ended(place, page, run, link, state) {
  tell(ENDED[state], state === "success" ? undefined : "trouble");
  const path = `${nameOf(run.dag_run_id)}.html`;
  const found = await get(`${page.pipeline.name}/reports`).catch(() => []);
  const report = found.some((one) => one.kind === "backfills" && one.path === path);
  fill(
    place,
    report && within({ view: "data", part: "reports", report: `backfills/${path}`, cell: null }, { class: "button primary" }, "Read the difference"),
    link,
    h("span", { role: "status" }, ENDED[state]),
  );
}
