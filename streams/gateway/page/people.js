/** The view of who is enrolled, with their photos, and erasing with the receipt. */

import { ask, at, errorNote, may, meaning } from "./api.js";
import { counted, make, timeOf } from "./dom.js";
import { confirmErase, erase } from "./erasing.js";

const PAGE = 100;
const COLUMNS = 3;

export const title = "People";

/** Show the view. */
export function show(root, user) {
  if (!may("read")) {
    root.append(make("p", {}, "The key may not read: it lacks the scope read."));
    return () => {};
  }
  const receipts = make("div", { role: "status" });
  const body = make("tbody");
  const more = make("button", { type: "button", hidden: true, onclick: load }, "Show more");
  const note = make("p", { class: "quiet" }, "Reading…");
  let after = "";
  root.append(receipts, note,
    make("table", {},
      make("caption", { class: "unseen" }, `People of ${user}`),
      make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "Name"), make("th", { scope: "col" }, "Photos"), make("td", {}))), body),
    more);

  async function load() {
    more.hidden = true;
    try {
      const page = await ask("GET", at`/api/v1/users/${user}/subjects`, { query: { limit: PAGE, after } });
      body.append(...page.subjects.map(row));
      after = page.next ?? "";
      more.hidden = !page.next;
      tell();
    } catch (error) {
      note.replaceChildren(errorNote(error));
    }
  }

  function tell() {
    const count = body.querySelectorAll("tr.person").length;
    note.textContent = count ? `${counted(count, "name")}${more.hidden ? "" : ", and more"}.` : "Nobody is enrolled.";
  }

  function row({ subject_id: subject, templates }) {
    const button = make("button", { type: "button", class: "danger", "aria-label": `Erase ${subject}`, onclick: () => confirmErase(subject,
      `Templates, training faces, and the answers and rows that name ${subject} are removed everywhere.`, eraseAll) }, "Erase…");
    const count = make("button", { type: "button", "aria-label": `Photos of ${subject}: ${templates}`, "aria-expanded": "false", onclick: unfold }, String(templates));
    const line = make("tr", { class: "person" }, make("th", { scope: "row" }, subject), make("td", {}, count), make("td", {}, may("erase") ? button : ""));
    let unfolded = null;

    async function eraseAll() {
      button.disabled = true;
      if (await erase(at`/api/v1/users/${user}/subjects/${subject}`, subject, receipts)) remove();
      else button.disabled = false;
    }

    function remove() {
      unfolded?.remove();
      line.remove();
      tell();
    }

    function unfold() {
      if (unfolded) {
        unfolded.remove();
        unfolded = null;
      } else {
        unfolded = make("tr", { class: "photos" }, make("td", { colspan: COLUMNS }, photosOf(user, subject, receipts, (now) => {
          count.textContent = String(now);
          count.setAttribute("aria-label", `Photos of ${subject}: ${now}`);
        })));
        line.after(unfolded);
      }
      count.setAttribute("aria-expanded", String(unfolded !== null));
    }

    return line;
  }

  load();
  return () => {};
}

/** What became of a person's photos; `onCount` is told how many count now. */
function photosOf(user, subject, receipts, onCount) {
  const path = at`/api/v1/users/${user}/subjects/${subject}`;
  const list = make("ul", { class: "photo-list", "aria-label": `Photos of ${subject}` });
  const note = make("p", { class: "quiet" }, "Reading…");
  const older = make("button", { type: "button", hidden: true, onclick: () => load({ history: true }) }, "Look for older photos");
  const shown = new Map();

  async function load(query) {
    older.hidden = true;
    try {
      let after = null;
      do {
        const page = await ask("GET", path, { query: after ? { ...query, after } : query });
        for (const photo of page.photos.filter((one) => !shown.has(one.event_id))) {
          shown.set(photo.event_id, line(photo));
          list.append(shown.get(photo.event_id));
        }
        onCount(page.templates);
        after = page.next;
      } while (after);
      older.hidden = Boolean(query.history);
    } catch (error) {
      if (error.reason !== "unknown_subject") {
        note.replaceChildren(errorNote(error));
        return;
      }
    }
    note.textContent = shown.size ? "" : "No photo of the last time is kept.";
  }

  function line(photo) {
    const words = photo.outcome === "enrolled" ? "enrolled" : `refused: ${meaning(photo.refusal?.reason ?? "failed")}`;
    const button = make("button", { type: "button", class: "danger small", "aria-label": `Erase the photo of ${new Date(photo.created_at).toLocaleString()}`,
      onclick: () => confirmErase(`a photo of ${subject}`, "Its template, its training face and its outcome are removed everywhere, also where it was sent several times.", eraseOne) }, "Erase…");

    async function eraseOne() {
      button.disabled = true;
      const receipt = await erase(at`/api/v1/users/${user}/subjects/${subject}/photos/${photo.event_id}`, `a photo of ${subject}`, receipts);
      if (!receipt) {
        button.disabled = false;
        return;
      }
      for (const id of receipt.photo) shown.get(id)?.remove();
      await count();
    }

    return make("li", {}, make("span", {}, timeOf(photo.created_at), ` · ${words}`), may("erase") ? button : null);
  }

  async function count() {
    try {
      onCount((await ask("GET", path, { query: { limit: 1 } })).templates);
    } catch (error) {
      if (error.reason === "unknown_subject") onCount(0);
      else note.replaceChildren(errorNote(error));
    }
  }

  load({});
  return make("div", {}, note, list, older);
}
