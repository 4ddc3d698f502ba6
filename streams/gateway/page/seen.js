/** The view of who was before the cameras, from when to when: today, or what is searched for. */

import { ask, at, errorNote, may } from "./api.js";
import { corrections } from "./corrections.js";
import { clock, counted, make, timeOf } from "./dom.js";
import { nameField } from "./names.js";

export const title = "Seen";

/** Show the view. */
export function show(root, user) {
  if (!may("read")) {
    root.append(make("p", {}, "The key may not read: it lacks the scope read."));
    return () => {};
  }
  const correct = corrections(user);
  const person = nameField(user, "Name", { placeholder: "Everybody" });
  const camera = make("input", { id: "seen-camera", maxlength: 256, autocomplete: "off", placeholder: "All cameras" });
  const from = make("input", { id: "seen-from", type: "datetime-local", required: true, value: localText(midnight()) });
  const to = make("input", { id: "seen-to", type: "datetime-local" });
  const state = make("p", { role: "status", class: "quiet" });
  const list = make("ol", { class: "answers", "aria-label": "Sightings, the newest first" });
  const more = make("button", { type: "button", hidden: true, onclick: () => next() }, "");
  let shown = new Set();
  let next = () => {};
  let search = 0;

  function begin() {
    const query = { from: new Date(from.value).toISOString(), limit: 100 };
    if (to.value) query.to = new Date(to.value).toISOString();
    if (person.field.value.trim()) query.subject_id = person.field.value.trim();
    if (camera.value.trim()) query.camera_id = camera.value.trim();
    shown = new Set();
    list.replaceChildren();
    load(query, ++search);
  }

  async function load(query, mine) {
    more.hidden = true;
    state.textContent = "Reading…";
    try {
      const page = await ask("GET", at`/api/v1/users/${user}/sightings`, { query });
      if (mine !== search) return; // another search has begun
      for (const one of page.sightings.filter((one) => !shown.has(one.sighting_id))) {
        shown.add(one.sighting_id);
        list.append(row(one));
      }
      state.textContent = shown.size ? `${counted(shown.size, "sighting")}.` : "Nobody was seen then.";
      if (page.next) {
        offer("Show more", { ...query, after: page.next }, mine);
      } else if (page.source === "redis" && (!page.since || page.since > query.from)) {
        // What is older is kept elsewhere, where a question takes seconds and costs something: so only if it is wanted.
        const { after, ...first } = query;
        offer("Look in the past too", { ...first, history: true, ...(page.since ? { to: earlier(page.since, query.to) } : {}) }, mine);
      }
    } catch (error) {
      if (mine === search) state.replaceChildren(errorNote(error));
    }
  }

  function offer(text, query, mine) {
    more.textContent = text;
    more.hidden = false;
    next = () => load(query, mine);
  }

  function row(one) {
    const name = one.subject_id ?? one.stranger_id ?? "unknown";
    const face = { decision: one.subject_id ? "match" : "unknown", subject_id: one.subject_id };
    const until = one.state === "end" ? [" to ", timeOf(one.last_seen_at)] : [", still there at ", timeOf(one.last_seen_at)];
    const likeness = one.similarity == null ? "" : `similarity ${one.similarity.toFixed(2)}`;
    return make("li", { class: "answer photo" }, make("div", {},
      make("p", { class: `face ${face.decision}` }, make("b", {}, name), " ", make("small", {}, likeness), " ",
        correct({ event: one.best_event_id, number: one.best_face, face, where: `${one.camera_id}, ${clock(one.first_seen_at)}` })),
      make("p", { class: "quiet" }, `${one.camera_id} · `, timeOf(one.first_seen_at), ...until, ` · ${counted(one.frames, "frame")}`)));
  }

  root.append(
    make("form", { class: "search", onsubmit: (event) => { event.preventDefault(); begin(); } },
      make("div", {}, ...person.parts),
      make("div", {}, make("label", { for: camera.id }, "Camera"), camera),
      make("div", {}, make("label", { for: from.id }, "From"), from),
      make("div", {}, make("label", { for: to.id }, "To"), to),
      make("button", { class: "main" }, "Search")),
    state, list, more);
  begin();
  return () => { search = 0; };
}

function midnight() {
  const now = new Date();
  return new Date(now.getFullYear(), now.getMonth(), now.getDate());
}

/** As a field for a local time wants it. */
function localText(time) {
  return new Date(time.getTime() - 60_000 * time.getTimezoneOffset()).toISOString().slice(0, 16);
}

function earlier(one, other) {
  return other && other < one ? other : one;
}
