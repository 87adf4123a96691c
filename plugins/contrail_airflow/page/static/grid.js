// The grid: a column for each day, a row for each stage, the newest day on the right. One cell has the focus; arrows move it,
// Shift with arrows or a drag chooses days, Enter opens, Escape gives the choice up. Below the stages lie rows of marks, for
// what is of a run and not of a day: trainings and promotions.

import { h } from "./dom.js";
import { EVENTS, mainOf, sentence } from "./events.js";
import { STATES } from "./states.js";
import * as words from "./words.js";

const WIDE = 62; // so few days have room for a sign in each cell

/**
 * @param board The board as the API has it.
 * @param actions `open(day, stage)`, `chosen(first, last)`, `selects`: whether days can be chosen, and `signal`, which ends it.
 */
export function grid(board, actions) {
  return new Grid(board, actions);
}

class Grid {
  constructor(board, actions) {
    this.board = board;
    this.actions = actions;
    this.size = board.days.length;
    this.at = { column: this.size - 1, row: 0 };
    this.tip = h("div", { class: "tip", role: "tooltip", hidden: true });
    this.choice = h("div", { class: "choice", hidden: true });
    this.events = new Map();
    this.stages = [...board.stages, ...EVENTS];
    this.rows = this.stages.map((stage, row) => this.row(stage, row));
    this.lane = h("div", { class: "lane", role: "grid", "aria-label": "Days and stages", "aria-multiselectable": "true" }, this.axis(), this.rows, this.champions(), this.choice);
    this.lane.style.setProperty("--days", this.size);
    // Every row has its place, so that the choice can lie over them.
    [...this.lane.querySelectorAll(".row")].forEach((row, at) => row.style.setProperty("grid-row", at + 1));
    this.choice.style.setProperty("grid-row", `2 / span ${board.stages.length}`);
    this.scroller = h("div", { class: `scroller${this.size <= WIDE ? " wide" : ""}` }, this.lane);
    const names = [...this.stages.map(words.capital), "Champion"];
    this.element = h(
      "div", { class: "grid" },
      h("div", { class: "names", "aria-hidden": "true" }, h("span", { class: "axis" }), names.map((name) => h("span", {}, name))),
      this.scroller,
      this.tip,
    );
    this.listen();
    this.mark(this.cell());
  }

  row(stage, row) {
    const cells = this.board.days.map(({ cells }, column) => {
      const cell = document.createElement("div");
      cell.className = "cell";
      cell.setAttribute("role", "gridcell");
      cell.tabIndex = -1;
      cell.dataset.at = `${column}/${row}`;
      if (!cells[row]) cell.classList.add("event");
      else this.paint(cell, cells[row]);
      return cell;
    });
    return h("div", { class: "row", role: "row", "aria-label": words.capital(stage) }, cells);
  }

  paint(cell, { state }) {
    if (cell.dataset.state === state) return;
    cell.dataset.state = state;
    if (this.size <= WIDE) cell.textContent = STATES[state].sign;
  }

  /** Show a newer board of the same days, and keep the focus, the choice and the place. False where it has other days. */
  update(board) {
    const ends = ({ days, stages }) => [days.length, days[0].day, days.at(-1).day, ...stages].join();
    if (ends(board) !== ends(this.board)) return false;
    this.board = board;
    board.days.forEach(({ cells }, column) => cells.forEach((one, row) => this.paint(this.cell({ column, row }), one)));
    const champions = this.lane.querySelector(".champions");
    const now = this.champions();
    now.style.setProperty("grid-row", champions.style.getPropertyValue("grid-row"));
    champions.replaceWith(now);
    this.mark(this.cell());
    return true;
  }

  /** Months over the columns; days too, where there is room. */
  axis() {
    const ticks = [];
    const wide = this.size <= WIDE;
    this.board.days.forEach(({ day }, column) => {
      if (wide ? (this.size - 1 - column) % 7 === 0 : day.endsWith("-01")) {
        const label = wide ? words.shortDay(day) : words.month(day);
        const last = column > this.size - (wide ? 4 : 16);
        ticks.push(h("span", { style: { "grid-column-start": String(column + 1) }, class: last ? "last" : null }, label));
      }
    });
    return h("div", { class: "row axis", "aria-hidden": "true" }, ticks);
  }

  /** Which version was champion for which days. */
  champions() {
    const { days, champions } = this.board;
    const bands = [];
    (champions ?? []).forEach(({ version, since }, index) => {
      const until = champions.slice(index + 1).reduce((least, next) => (next.since < least ? next.since : least), "9999");
      const inside = days.filter(({ day }) => day >= since && day < until).length;
      const before = days.filter(({ day }) => day < since).length;
      if (inside > 0) {
        const place = { "grid-column": `${before + 1} / span ${inside}` };
        bands.push(h("span", { style: place, title: `Version ${version}, from ${words.day(since)}` }, h("b", {}, `v${version}`)));
      }
    });
    return h("div", { class: "row champions", role: "presentation" }, bands.length ? bands : h("span", { class: "nobody" }, h("b", {}, "none yet")));
  }

  /** Show what happened to models. What counts from the day after the last has its mark on the last. */
  happened(events) {
    const { days, last } = this.board;
    const columns = new Map(days.map(({ day }, column) => [day, column]));
    for (const at of this.events.keys()) for (const name of ["decision", "sign"]) delete this.rows[at.split("/")[1]].children[at.split("/")[0]].dataset[name];
    this.events.clear();
    for (const event of events) {
      const column = columns.get(event.day) ?? (event.day > last && columns.get(last));
      if (column === undefined || column === false) continue;
      const at = `${column}/${this.stages.indexOf(event.stage)}`;
      this.events.set(at, [...(this.events.get(at) ?? []), event]);
    }
    for (const [at, found] of this.events) {
      const [column, row] = at.split("/").map(Number);
      Object.assign(this.cell({ column, row }).dataset, mainOf(found));
    }
  }

  /** What happened on a day, in the row of a stage. */
  eventsOf(day, stage) {
    return this.events.get(`${this.board.days.findIndex((one) => one.day === day)}/${this.stages.indexOf(stage)}`) ?? [];
  }

  cell({ column, row } = this.at) {
    return this.rows[row].children[column];
  }

  /** What one cell says, in one line. */
  said({ column, row }) {
    const day = this.board.days[column];
    const cell = day.cells[row];
    if (!cell) return [words.day(day.day), words.capital(this.stages[row]), ...(this.events.get(`${column}/${row}`)?.map(sentence) ?? ["Nothing"])].join(", ");
    const parts = [words.day(day.day), words.capital(this.board.stages[row]), STATES[cell.state].label];
    if (cell.why) parts.push(cell.why);
    if (cell.rows !== undefined) parts.push(words.so(cell.rows, "row"));
    return parts.join(", ");
  }

  mark(cell) {
    this.lane.querySelector('[tabindex="0"]')?.setAttribute("tabindex", "-1");
    cell.tabIndex = 0;
    cell.setAttribute("aria-label", this.said(this.at));
  }

  listen() {
    const found = (event) => event.target.closest?.(".cell");
    this.lane.addEventListener("keydown", (event) => this.key(event));
    this.lane.addEventListener("pointerover", (event) => found(event) && this.hover(found(event)));
    this.lane.addEventListener("pointerleave", () => this.hideTip());
    this.lane.addEventListener("focusin", (event) => found(event) && this.hover(found(event)));
    this.lane.addEventListener("focusout", () => this.hideTip());
    this.lane.addEventListener("pointerdown", (event) => {
      const cell = found(event);
      if (!cell || event.button !== 0) return;
      this.move(place(cell), false);
      this.from = this.at.column;
      this.dragged = false;
      // A finger scrolls; a mouse and a pen choose days.
      this.dragging = this.actions.selects && event.pointerType !== "touch";
      if (event.shiftKey && this.anchor !== undefined) this.choose(this.anchor, this.at.column);
    });
    this.lane.addEventListener("pointermove", (event) => {
      const cell = this.dragging && found(event);
      if (!cell || (!this.dragged && place(cell).column === this.from)) return;
      this.dragged = true;
      this.choose(this.from, place(cell).column);
    });
    const ended = () => {
      if (this.dragging && this.dragged) this.chosen();
      this.dragging = false;
    };
    addEventListener("pointerup", ended, { signal: this.actions.signal });
    addEventListener("pointercancel", () => void (this.dragging = false), { signal: this.actions.signal });
    this.lane.addEventListener("click", (event) => {
      const cell = found(event);
      if (!cell || this.dragged) return;
      this.clear();
      this.open();
    });
  }

  key(event) {
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1], PageUp: [-28, 0], PageDown: [28, 0] };
    const { column, row } = this.at;
    if (steps[event.key]) {
      const [x, y] = steps[event.key];
      const next = { column: clamp(column + x, this.size), row: clamp(row + y, this.rows.length) };
      if (event.shiftKey && x && this.actions.selects) this.choose(this.anchor ?? column, next.column);
      else this.clear();
      this.move(next);
    } else if (event.key === "Home" || event.key === "End") this.move({ column: event.key === "Home" ? 0 : this.size - 1, row });
    else if (event.key === "Enter" || event.key === " ") this.anchor !== undefined ? this.chosen() : this.open();
    else if (event.key === "Escape") this.clear();
    else return;
    event.preventDefault();
  }

  move(to, scroll = true) {
    this.at = to;
    const cell = this.cell();
    this.mark(cell);
    cell.focus({ preventScroll: true });
    if (scroll) cell.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  open() {
    const { column, row } = this.at;
    this.hideTip();
    if (row < this.board.stages.length || this.events.has(`${column}/${row}`)) this.actions.open(this.board.days[column].day, this.stages[row]);
  }

  choose(from, to) {
    this.anchor = from;
    this.range = [Math.min(from, to), Math.max(from, to)];
    const [first, last] = this.range;
    this.choice.hidden = false;
    this.choice.style.gridColumn = `${first + 1} / ${last + 2}`;
    this.hideTip();
  }

  chosen() {
    const [first, last] = this.range.map((column) => this.board.days[column].day);
    this.anchor = undefined;
    this.actions.chosen(first, last);
  }

  clear() {
    this.anchor = undefined;
    this.choice.hidden = true;
  }

  focus(day, stage) {
    const column = this.board.days.findIndex((one) => one.day === day);
    if (column >= 0) this.move({ column, row: Math.max(0, this.stages.indexOf(stage)) });
  }

  /** Frame days that the address names, for example those of a run. */
  point(first, last) {
    const inside = this.board.days.flatMap(({ day }, column) => (day >= first && day <= last ? [column] : []));
    if (!inside.length) return;
    this.choose(inside[0], inside.at(-1));
    this.anchor = undefined;
  }

  toEnd() {
    this.scroller.scrollLeft = this.scroller.scrollWidth;
  }

  hover(cell) {
    if (this.dragging && this.dragged) return;
    const { column, row } = place(cell);
    const { day, cells } = this.board.days[column];
    const events = this.events.get(cell.dataset.at);
    if (!cells[row] && !events) return this.hideTip();
    this.tip.replaceChildren(h("strong", {}, words.day(day)), ...(events?.map((one) => h("span", {}, sentence(one))) ?? this.facts(cells[row], row)));
    this.tip.hidden = false;
    const box = cell.getBoundingClientRect();
    const { width, height } = this.tip.getBoundingClientRect();
    const below = box.bottom + 8 + height < innerHeight;
    this.tip.style.left = `${Math.max(8, Math.min(box.left + box.width / 2 - width / 2, innerWidth - width - 8))}px`;
    this.tip.style.top = `${below ? box.bottom + 8 : Math.max(8, box.top - height - 8)}px`;
  }

  facts(one, row) {
    const facts = [
      one.rows !== undefined && words.so(one.rows, "row"),
      one.seconds !== undefined && `in ${words.duration(one.seconds)}`,
      one.model && `model ${one.model}`,
    ].filter(Boolean);
    return [
      h("span", { class: "state", data: { state: one.state } }, h("span", { class: "mark", data: { state: one.state } }), `${words.capital(this.board.stages[row])}: ${STATES[one.state].label.toLowerCase()}`),
      one.why ? h("span", {}, one.why) : "",
      facts.length ? h("span", {}, facts.join(" · ")) : "",
      one.at ? h("span", { class: "soft" }, words.moment(one.at)) : "",
      one.run ? h("span", { class: "soft run" }, one.run) : "",
    ];
  }

  hideTip() {
    this.tip.hidden = true;
  }
}

const place = (cell) => {
  const [column, row] = cell.dataset.at.split("/").map(Number);
  return { column, row };
};
const clamp = (value, size) => Math.max(0, Math.min(value, size - 1));
