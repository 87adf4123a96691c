// The states of a cell: each has a name, a colour and a shape of its own in page.css, and a sign where there is room.

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
 * Lay Airflow's runs over the lake's states. A cell that a run works on is running. A failed task shows where the lake
 * has nothing better to say: a refusal names its reason, and what is ok was made after the failure.
 */
export function overlay(board) {
  const runs = board.runs ?? [];
  for (const run of runs) {
    for (const [stage, state] of Object.entries(run.stages)) {
      const at = board.stages.indexOf(stage);
      for (const day of at < 0 ? [] : board.days) {
        if (day.day < run.first || day.day > run.last) continue;
        const cell = day.cells[at];
        if (state === "running") cell.state = "running";
        else if (state === "failed" && ["missing", "stale", "unknown"].includes(cell.state)) cell.state = "failed";
      }
    }
  }
  return { ...board, runs };
}
