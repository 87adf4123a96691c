// Links into the documentation's site. Where there is none, there are no links.

import { to } from "./airflow.js";
import { h } from "./dom.js";

// The page for each view.
const VIEWS = {
  board: "docs/airflow-page.html#the-board",
  predictions: "docs/airflow-page.html#predictions",
  one: "docs/airflow-page.html#one-prediction",
  models: "docs/promotion.html",
  data: "docs/analysts-tables.html",
};
let root = "";

/** Where the site is: an address, or a path from the page; empty where there is none. */
export function documented(address) {
  root = address && new URL(address, new URL(".", location.href)).href;
}

/** A link to a page of the site, such as docs/backfills.html#the-plan; null without a site. */
export const doc = (page, text, attributes = {}) => root && h("a", { class: "doc", rel: "noopener", ...to(new URL(page, root).href, { apart: true }), ...attributes }, text);

export const docOfView = (view) => doc(VIEWS[view], "Documentation", { class: "button quiet" });
