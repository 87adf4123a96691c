// Elements. Text from data only ever becomes a text node, so a value that looks like markup stays text.

/**
 * Make an element: h("a", {href, class: "x", onclick}, "text", child). Attributes that are null or false are left out.
 * `style` is an object of CSS properties, since the page's policy allows no style in markup.
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [key, set] of Object.entries(value)) element.style.setProperty(key, set);
    else if (name === "data") Object.assign(element.dataset, value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Replace what an element holds. */
export const fill = (element, ...children) => {
  element.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
};

/**
 * Put elements around others that stay where they are: what people typed, opened and focused in those is kept. `parts` has the
 * elements before the first, after it, and so on. Those that would look the same stay too.
 */
export function around(place, kept, parts) {
  kept.toReversed().forEach((one, at) => {
    if (one.parentNode !== place) at ? kept.at(-at).before(one) : place.append(one);
  });
  parts.forEach((part, at) => {
    const made = part.flat(Infinity).filter(Boolean);
    const there = [];
    for (let one = at ? kept[at - 1].nextSibling : place.firstChild; one && one !== kept[at]; one = one.nextSibling) there.push(one);
    if (there.length === made.length && there.every((one, n) => one.isEqualNode(made[n]))) return;
    there.forEach((one) => one.remove());
    at ? kept[at - 1].after(...made) : kept[0].before(...made);
  });
}

/** A line of state for screen readers and people: what was copied, started, or went wrong. */
export function tell(text, kind = "") {
  const told = document.getElementById("told");
  fill(told, h("p", { class: kind }, text));
  clearTimeout(tell.timer);
  tell.timer = setTimeout(() => fill(told), 8000);
}

/** A command that can be copied. */
export const command = (text) =>
  h(
    "div", { class: "command" },
    h("code", {}, text),
    h("button", { type: "button", class: "quiet", "aria-label": `Copy ${text}`, onclick: () => copy(text, "The command is copied.") }, "Copy"),
  );

/** Copy a text. A page without https has no clipboard, so there the text is selected and copied as people do. */
export async function copy(text, said) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const field = h("textarea", { class: "aside", "aria-hidden": "true" });
    field.value = text;
    (document.querySelector("dialog[open]") ?? document.body).append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
  }
  tell(said);
}
