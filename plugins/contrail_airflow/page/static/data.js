// The view Data: the tables, what was kept aside, and reports in place.

import { follow, go, read } from "./address.js";
import { fill, h } from "./dom.js";
import { aside } from "./aside.js";
import { choice } from "./pieces.js";
import { reports } from "./reports.js";
import { tables } from "./tables.js";

const PARTS = { tables: ["Tables", tables], aside: ["Kept aside", aside], reports: ["Reports", reports] };
// What of the address belongs to a part alone.
const OWN = { table: null, rule: null, first: null, last: null, report: null };

export async function show(place, page) {
  let working = new AbortController();
  const draw = async (query) => {
    const part = query.part in PARTS ? query.part : "tables";
    working.abort();
    working = new AbortController();
    // The part that is left must neither draw nor complain, so each has its own place and signal.
    const signal = AbortSignal.any([page.signal, working.signal]);
    const body = h("div", { class: "part" });
    fill(place, h("div", { class: "head" }, h("h1", {}, "Data"), h("div", { class: "tools" }, choice("Parts", Object.entries(PARTS).map(([id, [label]]) => [id, label]), part, (id) => go({ ...OWN, part: id })))), body);
    try {
      await PARTS[part][1](body, { ...page, signal }, query);
    } catch (error) {
      if (!signal.aborted) fill(body, h("pre", { class: "trouble" }, error.message));
    }
  };
  follow(draw, page.signal);
  await draw(read());
}
