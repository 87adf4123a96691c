// The plan of a backfill: which days, what would be replaced, how long and at what cost, how scores would shift. One button
// starts it, through Airflow's own API with the reader's login.

import { airflow, get, post } from "./airflow.js";
import { doc } from "./docs.js";
import { fill, h, tell } from "./dom.js";
import { tile } from "./pieces.js";
import { follow } from "./started.js";
import * as words from "./words.js";

const STAGES = ["ingest", "validate", "features", "score", "drift", "performance"];
const MODELS = { champion: "Champion now", "as-of": "Champion as of each day", challenger: "Challenger" };

/** A panel that is closed at first. `closed` is called when the reader closes it, `changed` when a backfill begins or ends. */
export function planner(page, actions) {
  return new Planner(page, actions);
}

class Planner {
  constructor(page, { closed, changed }) {
    this.page = page;
    this.closed = closed;
    this.changed = changed;
    this.element = h("section", { class: "plan", "aria-label": "Backfill", hidden: true });
    this.element.addEventListener("keydown", (event) => event.key === "Escape" && this.close());
  }

  open(first, last, stages) {
    this.asked = { first, last, stages, model: "champion" };
    this.result = h("div", { class: "result" });
    this.element.hidden = false;
    fill(
      this.element,
      h("header", {}, h("h2", {}, "Backfill", " ", doc("docs/backfills.html", "How it works", { class: "doc beside" })), h("button", { type: "button", class: "quiet close", "aria-label": "Close", onclick: () => this.close() }, "✕")),
      this.form(),
      this.result,
    );
    this.element.scrollIntoView({ block: "nearest" });
    this.ask();
  }

  close() {
    this.element.hidden = true;
    this.working?.abort();
    this.following?.abort();
    this.closed();
  }

  form() {
    const { asked } = this;
    const set = (name, value) => {
      asked[name] = value;
      this.ask();
    };
    const date = (name, label) =>
      h("label", {}, label, h("input", { type: "date", required: true, value: asked[name], onchange: (event) => event.target.value && set(name, event.target.value) }));
    return h(
      "form", { onsubmit: (event) => event.preventDefault() },
      date("first", "First day"),
      date("last", "Last day"),
      h(
        "fieldset", {},
        h("legend", {}, "Stages"),
        STAGES.map((stage) =>
          h(
            "label", {},
            h("input", {
              type: "checkbox", checked: asked.stages.includes(stage),
              onchange: (event) => set("stages", STAGES.filter((one) => (one === stage ? event.target.checked : asked.stages.includes(one)))),
            }),
            words.capital(stage),
          ),
        ),
      ),
      h("label", {}, "Model", this.models(set)),
    );
  }

  /** The aliases at once, and each version as soon as the registry has told them. */
  models(set) {
    const option = (value, label) => h("option", { value, selected: value === this.asked.model }, label);
    const chosen = h("select", { onchange: (event) => set("model", event.target.value) }, Object.entries(MODELS).map(([value, label]) => option(value, label)));
    get(`${this.page.pipeline.name}/models`, this.page.signal)
      .then(({ versions }) => chosen.append(...versions.map((one) => option(one.version, `Version ${one.version}`))))
      .catch(() => {}); // the aliases are still there, and the plan says what is wrong
    return chosen;
  }

  async ask() {
    this.working?.abort();
    this.working = new AbortController();
    const { signal } = this.working;
    fill(this.result, h("p", { class: "busy" }, "Planning …"));
    try {
      const found = await post(`${this.page.pipeline.name}/plan`, this.asked, signal);
      if (!signal.aborted) fill(this.result, shown(found.plan), this.start(found));
    } catch (error) {
      if (!signal.aborted) fill(this.result, h("pre", { class: "trouble" }, error.message));
    }
  }

  start({ plan, dag_id, conf }) {
    if (plan.nothing_to_do) return h("p", { class: "calm" }, "Every partition already holds exactly this result. There is nothing to do.");
    const button = h("button", { type: "button", class: "primary" }, `Start this backfill of ${words.so(plan.days, "day")}`);
    const line = h("p", { class: "start" }, button, h("span", { class: "soft" }, `It starts ${dag_id} as you. Airflow writes that into its audit log.`));
    button.addEventListener("click", async () => {
      button.disabled = true;
      try {
        const run = await airflow.post(`dags/${dag_id}/dagRuns`, { logical_date: null, conf });
        this.following?.abort();
        this.following = new AbortController();
        this.page.signal?.addEventListener("abort", () => this.following.abort());
        tell("The backfill has begun.");
        this.changed();
        follow(line, this.page, dag_id, run, this.following.signal).then(this.changed);
      } catch (error) {
        button.disabled = false;
        tell(error.message, "trouble");
      }
    });
    return line;
  }
}

function shown(plan) {
  const made = plan.stages.flatMap((stage) => stage.partitions).filter((group) => group.action !== "same");
  const replaced = made.filter((group) => group.action === "replace").reduce((sum, group) => sum + group.published, 0);
  const rows = made.some((group) => group.rows === null) ? null : made.reduce((sum, group) => sum + group.rows, 0);
  const minutes = plan.estimated_minutes;
  return [
    h(
      "dl", { class: "tiles" },
      tile("Days", words.count(plan.days)),
      tile("Rows made", rows === null ? "known after ingest" : words.count(rows)),
      tile("Rows replaced", words.count(replaced)),
      tile("Time", minutes === null ? "unknown" : words.duration(minutes * 60)),
      tile("Cost", plan.cost.startsWith("0 ") ? "none, on this machine" : plan.cost),
      plan.model && tile("Model", plan.models.map((one) => `v${one.version}`).filter((one, at, all) => all.indexOf(one) === at).join(", ")),
    ),
    shift(plan.expected_difference.predictions?.sample),
    plan.stages.map(stage),
  ];
}

/** How scores would move, from the days that the plan has scored already. */
function shift(sample) {
  if (!sample) return null;
  const same = sample.changed === 0 && !sample.added && !sample.removed;
  const flips = (sample.flipped_to_true ?? 0) + (sample.flipped_to_false ?? 0);
  const said = same
    ? "not one score would change."
    : `${words.count(sample.changed)} of ${words.so(sample.rows_after, "score")} would change; the mean goes from ${words.number(sample.mean_before)} to ${words.number(sample.mean_after)} (${words.signed(sample.mean_shift)}), and ${words.so(flips, "decision")} would flip.`;
  return h("p", { class: "shift" }, h("strong", {}, "How scores would shift: "), `on ${words.so(sample.days.length, "day")} tried, ${said}`);
}

function stage(one) {
  if (!one.partitions.length) return h("p", { class: "soft" }, `${words.capital(one.stage)} takes the range as it is, and finds out itself what it must do.`);
  const action = { new: "New", replace: "Replace", same: "Keep" };
  return h(
    "div", { class: "table" },
    h(
      "table", {},
      h("caption", {}, words.capital(one.stage), h("span", { class: "soft" }, ` ${words.so(one.jobs.length, "job")}`)),
      h("thead", {}, h("tr", {}, ["Days", "What", "Rows", "Published", "Why"].map((name, at) => h("th", { class: at === 2 || at === 3 ? "number" : "" }, name)))),
      h(
        "tbody", {},
        one.partitions.map((group) =>
          h(
            "tr", { data: { action: group.action } },
            h("td", {}, words.days(group.partitions)),
            h("td", {}, action[group.action] ?? group.action),
            h("td", { class: "number" }, group.rows === null ? "–" : words.count(group.rows)),
            h("td", { class: "number" }, words.count(group.published)),
            h("td", {}, group.why),
          ),
        ),
      ),
    ),
  );
}
