// What happened to models, as marks on the board: trainings, and what became of each version. A mark opens its card.

import { dialog, isOpen } from "./card.js";
import { fill, h } from "./dom.js";
import { facts, within } from "./pieces.js";
import * as words from "./words.js";

/** The rows of marks, in the order of the chain. */
export const EVENTS = ["train", "promote"];

export const DECISIONS = {
  trained: { label: "Trained", sign: "●" },
  promoted: { label: "Promoted", sign: "✓" },
  refused: { label: "Refused by the gate", sign: "×" },
  waits: { label: "Waits for an approver", sign: "?" },
  "taken back": { label: "Rolled back", sign: "↺" },
};

/** What a cell shows of several: the last that happened, and how many there are. */
export const mainOf = (found) => ({ decision: found.at(-1).decision, sign: found.length > 1 ? String(found.length) : DECISIONS[found.at(-1).decision].sign });

/** An event in one line. */
export function sentence({ decision, version, days, instead_of: before, person }) {
  const by = person && person !== "pipeline" ? ` by ${person}` : "";
  const said = {
    trained: `Version ${version} was trained on ${days && words.days(days)}`,
    promoted: `Version ${version} became champion${before ? ` instead of version ${before}` : ""}${by}`,
    refused: `The gate refused version ${version}`,
    waits: `Version ${version} waits for an approver`,
    "taken back": `Version ${before} was taken back${by}: version ${version} is champion again`,
  };
  return said[decision];
}

/** The card of a mark: each event with who, why and when, and the way to its evidence. */
export function openEvents(page, day, stage, found, closed) {
  if (isOpen(`${day}/${stage}`)) return;
  const { element, body } = dialog(page, `${day}/${stage}`, words.day(day), words.capital(stage), closed);
  const go = () => element.close("address");
  fill(body, found.toReversed().map((one) => event(one, go)));
}

function event(one, go) {
  return h(
    "section", { class: "happened" },
    h("p", { class: "verdict" }, badge(one.decision), h("strong", {}, DECISIONS[one.decision].label), h("span", {}, `${sentence({ ...one, person: "" })}.`)),
    facts([
      ["By", one.person === "pipeline" ? "the pipeline" : one.person],
      ["Why", one.reason],
      [one.stage === "train" ? "Trained on" : "Judged on", one.days && words.days(one.days)],
      ["When", words.moment(one.at)],
      ["Run", one.run && h("span", { class: "run" }, one.run)],
    ]),
    h("p", { class: "links", onclick: go }, within({ view: "models", version: one.version, cell: null }, { class: "button" }, `Evidence of version ${one.version}`)),
  );
}

export const badge = (decision) => h("span", { class: "badge", data: { decision }, "aria-hidden": "true" }, DECISIONS[decision].sign);
