// The state of the page is its address: a query such as ?pipeline=flight_delay&view=board&cell=2013-12-12/score.
// Airflow shows the page in a frame. It hands the frame the address behind its own /plugin/contrail, and takes that of the
// frame when it loads. In between, the page writes its address into Airflow's.

import { framed, root } from "./airflow.js";

const listeners = new Set();

/** What the address says, by name. */
export const read = () => Object.fromEntries(new URLSearchParams(location.search));

/** Change names of the address; null removes one. It adds a step that "back" takes, unless `replace`. */
export function go(changes, { replace = false } = {}) {
  const query = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === undefined || value === "") query.delete(name);
    else query.set(name, value);
  }
  const written = query.toString().replaceAll("%2F", "/");
  const search = written ? `?${written}` : location.pathname;
  if (search !== location.search) history[replace ? "replaceState" : "pushState"](null, "", search);
  mirror();
  for (const listener of listeners) listener(read());
}

/** Call a function whenever the address changes, until the signal is aborted. */
export function follow(listener, signal) {
  listeners.add(listener);
  signal?.addEventListener("abort", () => listeners.delete(listener));
}

/** The address to send to a colleague: the page within Airflow. */
export function link(changes = {}) {
  const query = new URLSearchParams({ ...read(), ...changes });
  query.delete("dag");
  query.delete("run");
  const search = query.toString().replaceAll("%2F", "/");
  return new URL(`plugin/contrail${location.pathname}${search ? `?${search}` : ""}`, root).href;
}

/** Let Airflow's address bar say the same, where the page is Airflow's own view and not a tab of a DAG. */
export function mirror() {
  if (!framed || !parent.location.pathname.startsWith(new URL("plugin/contrail", root).pathname)) return;
  parent.history.replaceState(parent.history.state, "", link());
}

addEventListener("popstate", () => {
  mirror();
  for (const listener of listeners) listener(read());
});
