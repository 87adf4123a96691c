// The view Board: the grid of days × stages, what needs a look, and the way into cards and backfills.

import { follow, go, read } from "./address.js";
import { get } from "./airflow.js";
import { closeCard, openCard } from "./card.js";
import { around, command, fill, h } from "./dom.js";
import { EVENTS, openEvents } from "./events.js";
import { grid } from "./grid.js";
import { spans } from "./pieces.js";
import { planner } from "./plan.js";
import { STATES, mark, overlay } from "./states.js";
import * as words from "./words.js";

const REFRESH = 15_000; // while Airflow runs something of what is shown

export async function show(place, page) {
  const view = new View(place, page);
  follow((query) => view.follow(query), page.signal); // before the first answer, so that no change of the address is lost
  await view.load();
}

class View {
  constructor(place, page) {
    this.place = place;
    this.page = page;
    this.planner = planner(page, { closed: () => this.grid.clear(), changed: () => this.again() });
    this.trouble = h("p", { class: "trouble", role: "status", hidden: true });
    page.signal.addEventListener("abort", () => clearTimeout(this.timer));
  }

  /** Days that the address asks for: the last `span` before `until`, or those around the day of a run. */
  range(query) {
    const span = Number(query.span) || (query.day || innerWidth < 600 ? 31 : 366);
    const last = query.until && query.day !== query.until ? query.until : query.day ? words.later(query.day, 5) : null;
    return { span, last };
  }

  async load() {
    const { span, last } = this.range(read());
    const asked = `${span}/${last}`;
    this.asked = asked;
    const turn = (this.turn = (this.turn ?? 0) + 1);
    clearTimeout(this.timer);
    const board = await this.read(span, last).catch((error) => (turn === this.turn ? Promise.reject(error) : null));
    if (this.page.signal.aborted || turn !== this.turn) return; // a later question has its own answer
    if (this.grid?.dragging) return this.later(); // the reader chooses days in the grid
    this.board = board;
    this.draw(asked);
    if (board.runs.some((run) => run.state === "running")) this.later();
  }

  /** Read the board again. Where that fails, what is shown stays, says of when it is, and is read again later. */
  async again() {
    if (this.page.signal.aborted) return;
    try {
      await this.load();
    } catch (error) {
      if (this.page.signal.aborted) return;
      this.lost(error);
      this.later();
    }
  }

  later() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.again(), REFRESH);
  }

  lost(error) {
    if (!this.trouble.isConnected) fill(this.place, this.trouble);
    fill(this.trouble, this.readAt ? `This is the board of ${words.moment(this.readAt)}. It could not be read again: ${error.message}` : `The board could not be read: ${error.message}`);
    this.trouble.hidden = false;
  }

  async read(span, last) {
    const asked = new URLSearchParams({ span, ...(last && { last }) });
    return { ...overlay(await get(`${this.page.pipeline.name}/board?${asked}`, this.page.signal)), span };
  }

  follow(query) {
    if (this.page.signal.aborted) return;
    const { span, last } = this.range(query);
    if (this.asked !== `${span}/${last}`) return void this.again();
    if (this.grid) this.openAddressed(query);
  }

  /** Draw the board. Days that are shown already keep their grid, and the planner is never drawn again: people work in both. */
  draw(asked) {
    const { board } = this;
    const query = read();
    const began = performance.now();
    const same = this.drawn === asked && this.grid.update(board);
    if (!same) this.grid = this.newGrid();
    this.drawn = asked;
    this.readAt = new Date().toISOString();
    this.trouble.hidden = true;
    const above = [this.head(), ...(board.lost ?? []).map((one) => h("p", { class: "trouble" }, one)), this.concerns()];
    around(this.place, [this.grid.element, this.planner.element], [[this.trouble, ...above], [legend(board)], [this.next()]]);
    if (!same) this.grid.toEnd();
    if (!same && query.day) this.grid.point(query.day, query.until ?? query.day);
    performance.measure("contrail-board", { start: began, end: performance.now() });
    this.openAddressed(query);
    this.events();
  }

  newGrid() {
    this.ofGrid?.abort();
    this.ofGrid = new AbortController();
    return grid(this.board, {
      open: (day, stage) => go({ cell: `${day}/${stage}` }),
      chosen: (first, last) => this.planner.open(first, last, this.wanted(first, last)),
      selects: this.page.pipeline.may_backfill,
      signal: AbortSignal.any([this.ofGrid.signal, this.page.signal]),
    });
  }

  /** Marks of what happened to models. They come from the registry, and the grid does not wait for it. */
  async events() {
    const { grid, page } = this;
    try {
      const found = await get(`${page.pipeline.name}/board/events`, page.signal);
      if (page.signal.aborted || grid !== this.grid) return;
      grid.happened(found);
      this.openAddressed(read());
    } catch (error) {
      if (!page.signal.aborted) grid.element.after(h("p", { class: "trouble" }, `Trainings and promotions are not shown: ${error.message}`));
    }
  }

  /** The stages to offer for days: what is stale on them, else features and, with a model, scores. */
  wanted(first, last) {
    const { days, stages, champions } = this.board;
    const stale = stages.filter((_, at) => days.some(({ day, cells }) => day >= first && day <= last && cells[at].state === "stale"));
    return stale.length ? stale : champions?.length ? ["features", "score"] : ["features"];
  }

  openAddressed(query) {
    if (!query.cell) return closeCard();
    const [day, stage] = query.cell.split("/");
    const closed = () => {
      go({ cell: null });
      this.grid.focus(day, stage);
    };
    if (EVENTS.includes(stage)) {
      const found = this.grid.eventsOf(day, stage);
      return found.length ? openEvents(this.page, day, stage, found, closed) : closeCard();
    }
    openCard(this.page, day, stage, {
      closed,
      backfill: () => {
        go({ cell: null });
        this.planner.open(day, day, [stage]);
      },
    });
  }

  head() {
    const { board, page } = this;
    const first = board.days[0].day;
    const last = board.days.at(-1).day;
    return h(
      "div", { class: "head" },
      h("div", {}, h("h1", {}, board.title), h("p", { class: "soft" }, `${words.day(first)} – ${words.day(last)}`)),
      h(
        "div", { class: "tools" },
        page.pipeline.may_backfill && h("button", { type: "button", onclick: () => this.planner.open(last, last, this.wanted(last, last)) }, "Backfill …"),
        spans(board, first, last, board.span),
      ),
    );
  }

  /** What needs a look, in words; a grid alone is no answer to "what is wrong". */
  concerns() {
    const { board } = this;
    const order = ["refused", "failed", "stale"];
    const found = [...(board.concerns ?? []), ...failures(board)].sort((one, other) => order.indexOf(one.state) - order.indexOf(other.state));
    if (!found.length) return h("p", { class: "calm" }, mark("ok"), "Nothing is refused, failed or stale on these days.");
    const row = (one) => {
      const newest = one.days.at(-1).split("..").at(-1);
      return h(
        "li", {},
        h(
          "button", { type: "button", class: "concern", onclick: () => go({ cell: `${newest}/${one.stage}` }) },
          mark(one.state),
          h("span", {}, h("strong", {}, `${words.capital(one.stage)} ${STATES[one.state].label.toLowerCase()}`), one.why ? `: ${one.why}` : ""),
          h("span", { class: "soft" }, one.count === 1 ? words.days(one.days[0]) : `${words.so(one.count, "day")}, the newest ${words.day(newest)}`),
        ),
      );
    };
    const rest = found.slice(4);
    return h(
      "section", { class: "concerns", "aria-label": "What needs a look" },
      h("ul", {}, found.slice(0, 4).map(row)),
      rest.length > 0 && h("details", { open: this.place.querySelector(".concerns details")?.open }, h("summary", {}, `${rest.length} more`), h("ul", {}, rest.map(row))),
    );
  }

  next() {
    const { commands } = this.board;
    return commands?.length ? h("section", { class: "next" }, h("h2", {}, "What comes next"), commands.map(command)) : null;
  }
}

/** Runs of Airflow that failed for another reason than a refusal, as concerns. */
function failures(board) {
  return board.stages.flatMap((stage, at) => {
    const days = board.days.filter((day) => day.cells[at].state === "failed").map((day) => day.day);
    return days.length ? [{ stage, state: "failed", why: "its task in Airflow ended with an error", days, count: days.length }] : [];
  });
}

function legend(board) {
  const counts = {};
  for (const day of board.days) for (const cell of day.cells) counts[cell.state] = (counts[cell.state] ?? 0) + 1;
  return h(
    "ul", { class: "legend", "aria-label": "Cells by state" },
    Object.entries(STATES)
      .filter(([state]) => state !== "unknown" || counts.unknown)
      .map(([state, { label }]) =>
        h("li", { class: counts[state] ? "" : "none" }, mark(state), label, h("span", { class: "soft" }, words.count(counts[state] ?? 0))),
      ),
  );
}
