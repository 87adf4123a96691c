// One version's evidence beside the champion's: the verdict and its checks, metrics, segments, calibration, importance,
// parameters and rows.

import { get, to } from "./airflow.js";
import { command, fill, h } from "./dom.js";
import { facts, range, table } from "./pieces.js";
import { rollback } from "./rollback.js";
import * as words from "./words.js";

/** What the gate said, in words. */
export const VERDICTS = { pass: "Passed", waits: "Waits for an approver", refused: "Refused" };
const LOWER_IS_BETTER = new Set(["log_loss", "brier", "calibration_error", "rmse", "mae", "cost_per_row"]);
const NAMES = { auc: "AUC", log_loss: "Log loss", brier: "Brier score", calibration_error: "Calibration error", rmse: "RMSE", mae: "MAE", bias: "Bias" };
const metricName = (name) => NAMES[name] ?? words.capital(name.replaceAll("_", " "));
const SHOWN = 12; // features, by importance

export async function evidence(place, page, models, version) {
  fill(place, h("h2", {}, `Version ${version}`), h("p", { class: "busy" }, "Reading …"));
  try {
    const found = await get(`${page.pipeline.name}/models/${version}`, page.signal);
    if (place.dataset.version !== version) return;
    const { record } = found;
    fill(
      place,
      title(found, models, page),
      card(page, version),
      record ? verdict(found, page) : h("p", { class: "calm" }, found.version.decision ? "Its decision record is not kept here. MLflow has it with the version." : "The gate has not judged it yet. To let it decide:"),
      !record && !found.version.decision && command(`contrail promote -p ${page.pipeline.name} --model ${version}`),
      record && metrics(record),
      record && segments(record),
      record && calibration(record),
      importance(found),
      training(found),
      record && provenance(record, found),
      version !== models.champion && rollback(page, version),
    );
  } catch (error) {
    if (!page.signal.aborted && place.dataset.version === version) fill(place, h("h2", {}, `Version ${version}`), h("pre", { class: "trouble" }, error.message));
  }
}

function title({ version }, models, page) {
  const mlflow = models.mlflow && h("a", { class: "button", ...to(`${models.mlflow}/#/models/${encodeURIComponent(page.pipeline.name)}/versions/${version.version}`) }, "Open in MLflow");
  return h(
    "div", { class: "head" },
    h(
      "div", {},
      h("h2", {}, `Version ${version.version}`, " ", h("span", { class: "standing", data: { standing: version.standing } }, words.capital(version.standing))),
      version.request && h("p", { class: "soft" }, `${version.request.person} asked for its training${version.request.reason ? `: ${version.request.reason}` : ""}.`),
    ),
    mlflow,
  );
}

/** The model card in a frame of its own, which is read when somebody opens it. */
function card(page, version) {
  const path = `api/${page.pipeline.name}/models/${version}/card`;
  const frame = h("div", {});
  const box = h("details", { class: "model-card" }, h("summary", {}, h("strong", {}, "Model card"), h("span", { class: "soft" }, " purpose, limits, data, explanations, fairness, cost; ", h("a", { ...to(new URL(path, location.href).href) }, "open it alone"))), frame);
  box.addEventListener("toggle", () => box.open && !frame.hasChildNodes() && fill(frame, h("iframe", { class: "report", title: `Model card of version ${version}`, src: path, sandbox: "allow-same-origin", referrerpolicy: "same-origin" })));
  return box;
}

function verdict({ record, page: file }, page) {
  const sign = { true: ["✓", "passed"], false: ["✗", "failed"], null: ["–", "did not apply"] };
  const by = record.person === "pipeline" ? "The pipeline asked for the decision" : `${record.person} asked for the decision`;
  return h(
    "section", { class: "verdict-of", data: { verdict: record.verdict } },
    h("h3", {}, `${VERDICTS[record.verdict]}. `, h("span", {}, record.summary)),
    record.reasons.length > 0 && h("ul", { class: "reasons" }, record.reasons.map((reason) => h("li", {}, reason))),
    h(
      "p", { class: "soft" },
      `${by} on ${words.moment(record.decided_at)}${record.reason ? `, because “${record.reason}”` : ""}. Judged on ${words.days(`${record.window.start}..${record.window.end}`)}, ${words.so(record.window.rows, "row")} with known outcomes`,
      record.champion ? `, against version ${record.champion.version}.` : ".",
      record.window.immature.length > 0 && ` ${words.so(record.window.immature.length, "day")} had too few known outcomes and were left out.`,
    ),
    h(
      "ul", { class: "checks" },
      record.checks.map((check) => {
        const [mark, said] = sign[String(check.passed)];
        return h("li", { data: { passed: String(check.passed) } }, h("span", { class: "sign", role: "img", "aria-label": said }, mark), h("div", {}, h("strong", {}, check.title), h("p", { class: "soft" }, check.detail)));
      }),
    ),
    file && h("p", {}, h("a", { class: "button", href: `?pipeline=${page.pipeline.name}&view=data&part=reports&report=decisions/${file}` }, "The whole record as a page")),
  );
}

/** Who is judged, in the reader's words: the names of the record's models. */
const whose = (record, name) => (name === "challenger" ? `v${record.version}` : name === "champion" ? `v${record.champion.version}, champion` : words.capital(name));

function metrics(record) {
  const models = Object.keys(record.metrics);
  const rows = record.metric_names.filter((name) => models.some((model) => record.metrics[model][name] !== undefined));
  return h(
    "section", {},
    h("h3", {}, "Metrics"),
    h("p", { class: "soft" }, "Each number with the range in which it would lie on other days, in 95 of 100 cases."),
    table(
      ["", ...models.map((model) => whose(record, model))],
      rows.map((name) => {
        const all = models.map((model) => record.intervals[model]?.[name]).filter(Boolean);
        const least = Math.min(...all.map((one) => one.low));
        const most = Math.max(...all.map((one) => one.high));
        return [
          h("span", { class: "metric" }, metricName(name), h("span", { class: "soft" }, LOWER_IS_BETTER.has(name) ? "less is better" : name === "bias" ? "near 0 is better" : "more is better")),
          ...models.map((model) => {
            const value = record.metrics[model][name];
            const around = record.intervals[model]?.[name];
            if (value === undefined || value === null) return "–";
            return h("span", { class: "measured" }, h("strong", {}, words.number(value)), around && h("span", { class: "soft" }, `${words.number(around.low)} to ${words.number(around.high)}`), around && range(around, least, most, model));
          }),
        ];
      }),
      { label: "Metrics" },
    ),
  );
}

function segments(record) {
  const names = Object.keys(record.segments);
  if (!names.length) return null;
  const metric = record.gate.segments.find(Boolean)?.metric ?? record.gate.metric;
  const rival = record.champion && `v${record.champion.version}`;
  return h(
    "section", {},
    h("h3", {}, "Segments"),
    names.map((name) => {
      const judged = record.gate.segments.find((one) => one.feature === name);
      const shown = judged?.metric ?? metric;
      return h(
        "details", { open: names.length === 1 },
        h("summary", {}, h("strong", {}, name), h("span", { class: "soft" }, ` ${words.so(record.segments[name].length, "group")}${judged ? `, ${metricName(shown)} not ${LOWER_IS_BETTER.has(shown) ? "above" : "below"} ${words.number(judged.floor)} with ${words.count(judged.min_rows)} rows or more` : ""}`)),
        table(
          ["Group", { label: "Rows", number: true }, { label: "Mean outcome", number: true }, { label: `${metricName(shown)}, v${record.version}`, number: true }, ...(rival ? [{ label: rival, number: true }, { label: "Difference", number: true }] : [])],
          record.segments[name].map((row) => {
            const own = row.challenger[shown];
            const theirs = row.champion[shown];
            const value = (number) => (number === undefined || number === null ? "–" : words.number(number));
            const better = own !== undefined && theirs !== undefined && own !== theirs ? ((own < theirs) === LOWER_IS_BETTER.has(shown) ? "better" : "worse") : null;
            return [row.group, words.count(row.rows), words.number(row.label_mean), value(own), ...(rival ? [value(theirs), own === undefined || theirs === undefined ? "–" : h("span", { class: better }, `${words.signed(own - theirs)}${better ? ` ${better}` : ""}`)] : [])];
          }),
          { label: `Segments of ${name}` },
        ),
      );
    }),
  );
}

function calibration(record) {
  if (!record.calibration.length) return null;
  return h(
    "section", {},
    h("h3", {}, "Calibration by period"),
    table(
      ["Days", { label: "Rows", number: true }, { label: "Predicted", number: true }, { label: "Found", number: true }, { label: "Error", number: true }],
      record.calibration.map((one) => [
        words.days(`${one.start}..${one.end}`), words.count(one.rows), words.number(one.prediction_mean), words.number(one.label_mean),
        [words.number(one.calibration_error), one.interval && h("span", { class: "soft" }, ` (${words.number(one.interval.low)} to ${words.number(one.interval.high)})`)],
      ]),
      { label: "Calibration" },
    ),
  );
}

function importance({ own, champion }) {
  const names = Object.keys(own.importance);
  const most = Math.max(...Object.values(own.importance), ...Object.values(champion?.importance ?? {}));
  const bar = (share, kind) => h("span", { class: "share", data: { kind } }, h("i", { style: { width: `${(100 * (share ?? 0)) / (most || 1)}%` } }), h("span", {}, words.rate(share ?? 0)));
  const row = (name) => h("li", {}, h("span", { class: "name" }, name), h("div", {}, bar(own.importance[name], "challenger"), champion && bar(champion.importance[name], "champion")));
  return h(
    "section", { class: "importance" },
    h("h3", {}, "Importance of features"),
    h("p", { class: "soft" }, "Share of what all splits gained", champion && [": ", key("challenger", `v${own.version}`), " ", key("champion", `v${champion.version}`)], "."),
    h("ol", {}, names.slice(0, SHOWN).map(row)),
    names.length > SHOWN && h("details", {}, h("summary", {}, `${words.so(names.length - SHOWN, "feature")} more`), h("ol", {}, names.slice(SHOWN).map(row))),
  );
}

const key = (kind, text) => h("span", { class: "whose", data: { kind } }, text);

function training({ own, champion }) {
  const both = [own, champion].filter(Boolean);
  const all = (one) => ({ ...one.options, ...one.parameters });
  const row = (name, value) => {
    const values = both.map((one) => value(one));
    return { class: values.some((one) => one !== values[0]) ? "differs" : null, cells: [name, ...values] };
  };
  const parameters = [...new Set(both.flatMap((one) => Object.keys(all(one))))].map((name) => row(h("code", {}, name), (one) => String(all(one)[name] ?? "–")));
  const differ = parameters.filter((one) => one.class);
  const same = parameters.filter((one) => !one.class);
  const head = ["", `v${own.version}`, ...(champion ? [`v${champion.version}, champion`] : [])];
  return h(
    "section", {},
    h("h3", {}, "Training and parameters"),
    table(
      head,
      [
        row("Trained on", (one) => words.days(one.window)),
        row("Rows", (one) => words.count(one.rows)),
        row("Outcomes known until", (one) => words.day(one.labels_as_of)),
        row("Trees", (one) => words.count(one.rounds)),
        ...differ,
      ],
      { label: "Training" },
    ),
    same.length > 0 && h("details", {}, h("summary", { class: "soft" }, champion ? `${words.so(same.length, "parameter")} that both share` : words.so(same.length, "parameter")), table(head, same, { label: "Parameters" })),
  );
}

function provenance({ provenance: made }, { own }) {
  return h(
    "details", { class: "made" },
    h("summary", {}, "What the decision and the model were made of"),
    facts([
      ["Model's SHA-256", h("code", {}, made.model_sha256)],
      ["MLflow run", h("code", {}, made.mlflow_run)],
      ["Training set's MD5", h("code", {}, own.training_set_md5)],
      ["Code of the training", h("code", {}, own.code_revision)],
      ["Code of the decision", h("code", {}, made.code_revision)],
      ["Spec", h("code", {}, made.pipeline_hash)],
      ["Libraries", h("code", {}, made.lock_hash)],
      ...Object.entries(made).filter(([name]) => name.startsWith("judged_on_")).map(([name, value]) => [`Snapshot of ${name.slice(10, -9)}`, h("code", {}, String(value ?? "–"))]),
    ]),
  );
}
