// The states of a cell: each has a name, a colour and a shape of its own in page.css, and a sign where there is room.

import { nameOf } from "./airflow.js";
import { h } from "./dom.js";

export const STATES = {
  ok: { label: "Ok", sign: "" },
  stale: { label: "Stale", sign: "~" },
  refused: { label: "Refused", sign: "×" },
  failed: { label: "Failed", sign: "!" },
  running: { label: "Running", sign: "▸" },
  waiting: { label: "Waiting", sign: "" },
  missing: { label: "Not asked for", sign: "" },
  unknown: { label: "Older than the history", sign: "?" },
};

/** The shape of a state, as the grid draws it. */
export const mark = (state) => h("span", { class: "mark", data: { state }, "aria-hidden": "true" });

/**
 * The state of a cell under Airflow's runs of its day, and the run that makes it so. A cell that a run works on is running. A
 * failed task shows where the lake has nothing better to say: a refusal names its reason, and what is ok was made after the
 * failure. So was what another run has published since the failed one began.
 */
export function stateOf(cell, stage, runs) {
  const running = runs.find((run) => run.stages[stage] === "running");
  if (running) return { state: "running", run: running };
  const mended = (run) => cell.at && run.started && Date.parse(cell.at) > Date.parse(run.started) && !isOf(cell.run ?? "", nameOf(run.run));
  const failed = ["missing", "stale", "unknown"].includes(cell.state) && runs.find((run) => run.stages[stage] === "failed" && !mended(run));
  return failed ? { state: "failed", run: failed } : { state: cell.state };
}

/** Whether a commit is of a run: its name, and the numbers of its job and attempt. */
const isOf = (commit, run) => commit.startsWith(run) && /^(-\d+)*$/.test(commit.slice(run.length));

/** Lay Airflow's runs over the lake's states. */
export function overlay(board) {
  const runs = board.runs ?? [];
  for (const day of runs.length ? board.days : []) {
    const own = runs.filter((run) => run.first <= day.day && day.day <= run.last);
    if (own.length) day.cells.forEach((cell, at) => (cell.state = stateOf(cell, board.stages[at], own).state));
  }
  return { ...board, runs };
}
