// The frame of the page: the pipeline, the tabs of the views, and the link to send.

import { follow, go, link, mirror, read } from "./address.js";
import { airflow, followTheme, get } from "./airflow.js";
import { docOfView, documented } from "./docs.js";
import { copy, fill, h } from "./dom.js";
import { views } from "./views.js";

const top = document.getElementById("top");
const place = document.getElementById("view");
let leaving = new AbortController();
let shown = "";

/** What of the address makes another view; the rest is the view's own business. */
const identity = (query) => `${query.pipeline}/${query.view}`;

function bar(frame, page) {
  const tabs = views.map((view) =>
    h(
      "a",
      {
        href: `?pipeline=${page.name}&view=${view.id}`,
        "aria-current": view.id === page.view ? "page" : null,
        onclick: (event) => {
          if (event.ctrlKey || event.metaKey || event.shiftKey) return;
          event.preventDefault();
          switchTo({ view: view.id });
        },
      },
      view.label,
    ),
  );
  const choice = h(
    "select",
    { "aria-label": "Pipeline", onchange: (event) => switchTo({ pipeline: event.target.value }) },
    frame.pipelines.map((one) => h("option", { value: one.name, selected: one.name === page.name }, one.title)),
  );
  fill(
    top,
    h("div", { class: "who" }, frame.pipelines.length > 1 ? choice : h("strong", {}, frame.pipelines[0].title)),
    h("nav", { "aria-label": "Views" }, tabs),
    h("div", { class: "more" }, docOfView(page.view), h("button", { type: "button", class: "quiet", onclick: () => copy(link(), "The link to this view is copied.") }, "Copy link")),
  );
}

/** Go to another view or pipeline; what belonged to the view that is left goes out of the address. */
function switchTo(changes) {
  const { pipeline, view } = { ...read(), ...changes };
  const left = Object.fromEntries(Object.keys(read()).map((name) => [name, null]));
  go({ ...left, pipeline, view });
}

/** The pipeline and day of the DAG and run whose tab the page is. */
async function fromTab(query) {
  const pipeline = query.dag.replace(/__[a-z]+$/, "");
  if (!query.run) return { pipeline };
  const run = await airflow.get(`dags/${encodeURIComponent(query.dag)}/dagRuns/${encodeURIComponent(query.run)}`).catch(() => ({}));
  const first = run.partition_key ?? run.conf?.day ?? run.conf?.from;
  return { pipeline, day: first, until: run.conf?.to };
}

async function show(frame, query) {
  const pipeline = frame.pipelines.find((one) => one.name === query.pipeline) ?? frame.pipelines[0];
  const view = views.find((one) => one.id === query.view) ?? views[0];
  if (query.pipeline !== pipeline.name || query.view !== view.id) return go({ pipeline: pipeline.name, view: view.id }, { replace: true });
  if (identity(query) === shown) return;
  shown = identity(query);
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  document.title = `${view.label} · ${pipeline.title}`;
  bar(frame, { name: pipeline.name, view: view.id });
  const box = h("div", { class: `view ${view.id}` }, h("p", { class: "busy" }, "Reading …"));
  fill(place, box);
  try {
    if (pipeline.problem) throw new Error(pipeline.problem);
    const module = await view.load();
    await module.show(box, { pipeline, user: frame.user, query, signal });
  } catch (error) {
    if (!signal.aborted) fill(box, h("div", { class: "trouble" }, h("h2", {}, "This view cannot be shown"), h("pre", {}, error.message)));
  }
}

async function start() {
  followTheme();
  const query = read();
  const frame = await get("frame");
  documented(frame.docs);
  if (!frame.pipelines.length) {
    fill(place, h("div", { class: "trouble" }, h("h2", {}, "No pipeline to see"), h("p", {}, "You may see a pipeline when you may read each of its DAGs. An administrator of Airflow can grant that.")));
    return;
  }
  if (query.dag) go({ ...(await fromTab(query)), dag: null, run: null }, { replace: true });
  follow((changed) => show(frame, changed));
  mirror();
  await show(frame, read());
}

start().catch((error) => fill(place, h("div", { class: "trouble" }, h("h2", {}, "The page cannot be shown"), h("pre", {}, error.message))));
