// Builds elements. Text is only ever set as text, so manifests are never read as HTML.

/** An element with attributes and children; strings become text, and null is left out. */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== undefined && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

/** A text with what is between backticks as code. */
export function prose(text) {
  return text.split("`").map((part, index) => (index % 2 ? element("code", {}, part) : part));
}

/** `1 line`, `2 lines`. */
export function counted(number, noun) {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

/** Gets or posts JSON. Throws an Error whose `detail` is the server's, with `field` and `message`. */
export async function json(path, body, signal) {
  const options = body && {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), signal,
  };
  const response = await fetch(path, options);
  if (response.ok) return response.json();
  const text = await response.text();
  let detail = { field: "", message: `The server answers with status ${response.status}. Its log says why.` };
  try {
    detail = JSON.parse(text).detail ?? detail;
  } catch { /* not JSON: an error of the server itself */ }
  throw Object.assign(new Error(detail.message), { detail });
}
