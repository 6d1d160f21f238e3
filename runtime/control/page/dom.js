// Elements. Text is only ever set as text: nothing that a database holds can become markup.

/** The element of the page with this id. */
export function byId(id) {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`The page has no element ${id}`);
  return found;
}

/** A new element with properties (`data-…` and `aria-…` as attributes) and children, which may be strings. */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes('-')) made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

/** Tell users of screen readers what happened. */
export function say(text) {
  byId('said').textContent = text;
}

/** A paragraph for an error. */
export function errorText(error) {
  return element('p', { className: 'error', role: 'alert' }, error.message);
}

/** Replace the children of an element; the focus stays where it was if there is an element with the same `data-key`. */
export function redraw(parent, ...children) {
  const key = parent.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  parent.replaceChildren(...children);
  if (key === undefined) return;
  const all = Array.from(parent.querySelectorAll('[data-key]'));
  const same = all.find((one) => one.dataset.key === key && !one.disabled);
  (same ?? all.find((one) => !one.disabled))?.focus();
}
