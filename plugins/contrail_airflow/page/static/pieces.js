// Pieces that several views are made of: tables, lists of facts, and choices that are part of the address.

import { go, link } from "./address.js";
import { h } from "./dom.js";
import * as words from "./words.js";

const SPANS = [[31, "Month"], [92, "Quarter"], [366, "Year"]];

/** A table. A column is a label, or {label, number: true}; a row is a list of cells, or {cells, ...attributes}. */
export function table(columns, rows, { caption, label } = {}) {
  const numbers = columns.map((column) => (column.number ? "number" : null));
  return h(
    "div", { class: "table", tabindex: 0, role: "region", "aria-label": label ?? caption ?? "Table" },
    h(
      "table", {},
      caption && h("caption", {}, caption),
      h("thead", {}, h("tr", {}, columns.map((column, at) => h("th", { class: numbers[at], scope: "col" }, column.label ?? column)))),
      h(
        "tbody", {},
        rows.map((row) => {
          const { cells, ...attributes } = Array.isArray(row) ? { cells: row } : row;
          return h("tr", attributes, cells.map((cell, at) => h("td", { class: numbers[at] }, cell)));
        }),
      ),
    ),
  );
}

/** Names and values; what has no value is left out. */
export const facts = (pairs, attributes = {}) =>
  h("dl", { class: "facts", ...attributes }, pairs.filter(([, value]) => value !== null && value !== undefined && value !== "").map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));

/** A link within the page, which changes some names of the address. */
export const within = (changes, attributes, ...children) =>
  h(
    "a",
    {
      href: link(changes),
      ...attributes,
      onclick: (event) => {
        if (event.ctrlKey || event.metaKey || event.shiftKey) return;
        event.preventDefault();
        go(changes);
      },
    },
    ...children,
  );

/** Buttons of which one is chosen: [[value, label], …]. */
export const choice = (label, options, chosen, choose) =>
  h(
    "div", { class: "joined", role: "group", "aria-label": label },
    options.map(([value, text]) => h("button", { type: "button", "aria-pressed": String(value === chosen), onclick: () => choose(value) }, text)),
  );

/** A number or a word with its name, in a `dl` of class "tiles". */
export const tile = (name, value) => h("div", {}, h("dt", {}, name), h("dd", {}, value));

/** How many days a view shows, and older or newer ones. `ends` has the first and last day that there are. */
export function spans(ends, first, last, span) {
  const to = (until) => go({ until: until >= ends.last ? null : until, day: null });
  return [
    choice("Days shown", SPANS, span, (days) => go({ span: days })),
    h(
      "div", { class: "joined" },
      h("button", { type: "button", "aria-label": "Older days", disabled: first <= ends.first, onclick: () => to(words.later(first, -1)) }, "‹"),
      h("button", { type: "button", "aria-label": "Newer days", disabled: last >= ends.last, onclick: () => to(words.later(last, span)) }, "›"),
    ),
  ];
}

/** What there is to do where there is nothing to see. */
export const empty = (title, ...children) => h("section", { class: "empty" }, h("h2", {}, title), ...children);

/** A number on a line from `least` to `most`, with its interval. */
export function range({ low, high, estimate }, least, most, kind) {
  const at = (value) => `${(100 * (value - least)) / (most - least || 1)}%`;
  return h(
    "span", { class: "range", data: { kind }, "aria-hidden": "true" },
    h("i", { style: { left: at(low), right: `calc(100% - ${at(high)})` } }),
    h("b", { style: { left: at(estimate) } }),
  );
}
