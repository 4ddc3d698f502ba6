/** A field for the name of a person who is enrolled: the browser offers the names. */

import { ask, at } from "./api.js";
import { make } from "./dom.js";

const OFFERED = 1000;
let made = 0;

/** A label, a field and the names that it offers; `field` is the input. */
export function nameField(user, text, attributes = {}) {
  const id = `name-${++made}`;
  const list = make("datalist", { id: `${id}-list` });
  const field = make("input", { id, list: list.id, maxlength: 256, autocomplete: "off", autocapitalize: "none", spellcheck: "false", ...attributes });
  ask("GET", at`/api/v1/users/${user}/subjects`, { query: { limit: OFFERED } })
    .then((page) => list.append(...page.subjects.map((one) => make("option", { value: one.subject_id }))))
    .catch(() => {}); // a name can be typed all the same
  return { field, parts: [make("label", { for: id }, text), field, list] };
}
