// Airflow around the page: its addresses, its API with the reader's own login, and its choice of light or dark.

/** Where Airflow is: the page lies one level below, whatever the prefix. */
export const root = new URL("../", new URL(".", location.href));

const sameOrigin = () => {
  try {
    return Boolean(parent !== window && parent.document);
  } catch {
    return false; // another site's frame, which the page's policy forbids anyway
  }
};
/** Whether Airflow shows the page in a frame. */
export const framed = sameOrigin();

class Refused extends Error {
  constructor(status, words) {
    super(words);
    this.status = status;
  }
}

async function ask(url, options) {
  const answer = await fetch(url, { credentials: "same-origin", ...options });
  const body = await answer.json().catch(() => ({}));
  if (answer.ok) return body;
  const words = typeof body.detail === "string" ? body.detail : body.detail ? JSON.stringify(body.detail) : answer.statusText;
  const own = { 401: "Your login has ended. Load Airflow again to log in.", 500: "The page met an error that it did not expect. The log of Airflow's API server has it." };
  throw new Refused(answer.status, own[answer.status] ?? words);
}

const sent = (body, method = "POST") => ({
  method,
  headers: { "content-type": "application/json", "x-contrail": "1" },
  body: JSON.stringify(body),
});

/** Read from the page's own API: path without a leading slash. */
export const get = (path, signal) => ask(`api/${path}`, { signal });
/** Send to the page's own API. */
export const post = (path, body, signal) => ask(`api/${path}`, { ...sent(body), signal });
/** Airflow's public API. Airflow checks the right and writes its audit log. */
export const airflow = {
  get: (path, signal) => ask(new URL(`api/v2/${path}`, root), { signal }),
  post: (path, body) => ask(new URL(`api/v2/${path}`, root), sent(body)),
  patch: (path, body) => ask(new URL(`api/v2/${path}`, root), sent(body, "PATCH")),
};

/**
 * Attributes of a link to a page of Airflow, or elsewhere. The frame's sandbox stops links, so Airflow's own document follows
 * them. `apart` opens it in a tab of its own.
 */
export function to(path, { apart = false } = {}) {
  const href = new URL(path, root).href;
  return { href, target: apart && "_blank", onclick: (event) => leave(event, href, apart), onauxclick: (event) => leave(event, href, apart) };
}

function leave(event, href, apart) {
  if (!framed || event.button > 1) return;
  event.preventDefault();
  const anchor = parent.document.createElement("a");
  anchor.href = href;
  anchor.rel = "noopener";
  if (apart || event.ctrlKey || event.metaKey || event.shiftKey || event.button === 1) anchor.target = "_blank";
  parent.document.body.append(anchor);
  anchor.click();
  anchor.remove();
}

export const runPath = (dag, run, task) =>
  `dags/${encodeURIComponent(dag)}/runs/${encodeURIComponent(run)}${task ? `/tasks/${encodeURIComponent(task)}` : ""}`;

/** The name of a run in what Contrail publishes and writes, as files.as_name makes it. A stage adds its try. */
export const nameOf = (run) => run.replace(/[^A-Za-z0-9_.-]+/g, "-");

/** Follow Airflow's light or dark; alone, the page follows the system. */
export function followTheme() {
  if (!framed) return;
  const outer = parent.document.documentElement;
  const take = () => {
    const chosen = ["dark", "light"].find((name) => outer.classList.contains(name));
    if (chosen) document.documentElement.dataset.theme = chosen;
  };
  take();
  new MutationObserver(take).observe(outer, { attributes: true, attributeFilter: ["class"] });
}
