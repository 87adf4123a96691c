// The view Models: a question that waits, champions over time, the versions, and one version's evidence.

import { follow, go, read } from "./address.js";
import { get } from "./airflow.js";
import { approval } from "./approval.js";
import { command, fill, h } from "./dom.js";
import { VERDICTS, evidence } from "./evidence.js";
import { empty, table, within } from "./pieces.js";
import * as words from "./words.js";

export async function show(place, page) {
  const found = await get(`${page.pipeline.name}/models`, page.signal);
  if (page.signal.aborted) return;
  if (!found.versions.length) {
    fill(place, empty("No model yet", h("p", {}, "Train a version and let the gate decide on it. Features and outcomes of the training window must be there first."), found.commands.map(command)));
    return;
  }
  const asked = h("div", { class: "asked" });
  const details = h("section", { class: "version", "aria-label": "Version" });
  const list = h("div", {});
  fill(place, head(found), asked, timeline(found), found.note && h("p", { class: "trouble" }, found.note), list, details);
  approval(asked, page);
  const open = (query) => {
    const version = query.version ?? found.champion ?? found.versions[0].version;
    fill(list, versions(found, version));
    if (details.dataset.version === version) return;
    details.dataset.version = version;
    evidence(details, page, found, version);
  };
  follow(open, page.signal);
  open(read());
}

function head(found) {
  const now = found.reigns.at(-1);
  const sentence = found.champion
    ? `Version ${found.champion} is champion${now?.version === found.champion ? `, for days from ${words.day(now.since)} on` : ""}.`
    : "No version is champion, so nothing is scored.";
  const shadow = found.challenger && found.challenger !== found.champion ? ` Version ${found.challenger} is challenger, in shadow.` : "";
  return h("div", { class: "head" }, h("div", {}, h("h1", {}, "Models"), h("p", { class: "soft" }, sentence, shadow)), found.commands.length > 0 && h("div", {}, found.commands.map(command)));
}

const ordinal = (iso) => Date.parse(`${iso}T00:00:00Z`) / 86_400_000;

/** Champions over the days that they score, and below them every move with its reason. */
function timeline({ reigns, moves, last }) {
  if (!reigns.length) return null;
  const first = ordinal(reigns[0].since);
  const end = Math.max(last ? ordinal(last) : 0, ordinal(reigns.at(-1).since) + 6) + 1;
  const part = (day) => `${(100 * (day - first)) / (end - first)}%`;
  return h(
    "section", { class: "reigns", "aria-label": "Champions over time" },
    h("h2", {}, "Champions over time"),
    h(
      "ol", { class: "line" },
      reigns.map((reign) => {
        const from = ordinal(reign.since);
        const to = reign.until ? ordinal(reign.until) + 1 : end;
        const days = reign.until ? `${words.day(reign.since)} – ${words.day(reign.until)}` : `from ${words.day(reign.since)} on`;
        return h(
          "li", { style: { left: part(from), width: `${(100 * (to - from)) / (end - first)}%` }, class: reign.until ? "" : "now" },
          h("button", { type: "button", title: `Version ${reign.version}, ${days}`, "aria-label": `Version ${reign.version}, champion ${days}`, onclick: () => go({ version: reign.version }) }, `v${reign.version}`),
        );
      }),
    ),
    h("p", { class: "ends soft" }, h("span", {}, words.day(reigns[0].since)), h("span", {}, last ? `${words.day(last)}, the last scored day` : "now")),
    h(
      "details", {},
      h("summary", {}, words.so(moves.length, "move"), " of an alias, with person and reason"),
      table(
        ["Moved", "Alias", "From", "To", "For days from", "By", "Reason"],
        moves.map((move) => [words.moment(move.moved_at), move.alias, move.version_before ? `v${move.version_before}` : "–", `v${move.version_after}`, words.day(move.effective_from), move.person, move.reason]),
        { label: "Moves" },
      ),
    ),
  );
}

function versions(found, chosen) {
  return h(
    "section", { class: "versions" },
    h("h2", {}, "Versions"),
    table(
      ["Version", "Standing", "Trained on", "Made", "Asked for by", "Gate"],
      found.versions.map((one) => ({
        "aria-current": one.version === chosen ? "true" : null,
        cells: [
          within({ version: one.version }, { "aria-label": `Version ${one.version}` }, `v${one.version}`),
          h("span", { class: "standing", data: { standing: one.standing } }, words.capital(one.standing)),
          one.window ? words.days(one.window) : "–",
          words.moment(one.made_at),
          one.request ? [one.request.person, one.request.reason && h("span", { class: "soft" }, `: ${one.request.reason}`)] : "–",
          VERDICTS[one.decision] ?? "Not judged yet",
        ],
      })),
      { label: "Versions" },
    ),
  );
}
