/** The view of who is enrolled, and erasing with the receipt. */

import { ask, at, errorNote, may } from "./api.js";
import { clock, counted, make } from "./dom.js";

const PAGE = 100;

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
    const count = body.children.length;
    note.textContent = count ? `${counted(count, "name")}${more.hidden ? "" : ", and more"}.` : "Nobody is enrolled.";
  }

  function row({ subject_id: subject, templates }) {
    const button = make("button", { type: "button", class: "danger", "aria-label": `Erase ${subject}`, onclick: () => confirmErase(subject, () => erase(subject, line, button)) }, "Erase…");
    const line = make("tr", {}, make("th", { scope: "row" }, subject), make("td", {}, String(templates)), make("td", {}, may("erase") ? button : ""));
    return line;
  }

  async function erase(subject, line, button) {
    button.disabled = true;
    const place = make("div", { class: "panel receipt" }, make("p", {}, `Erasing ${subject}…`));
    receipts.prepend(place);
    try {
      const receipt = await ask("DELETE", at`/api/v1/users/${user}/subjects/${subject}`, { query: { wait: "8s" } });
      place.replaceChildren(...receiptOf(receipt, subject));
      line.remove();
      tell();
    } catch (error) {
      place.replaceChildren(errorNote(error));
      button.disabled = false;
    }
  }

  load();
  return () => {};
}

function confirmErase(subject, onYes) {
  const dialog = make("dialog", { "aria-labelledby": "erase-title", onclose: () => { dialog.remove(); if (dialog.returnValue === "yes") onYes(); } },
    make("h2", { id: "erase-title" }, `Erase ${subject}?`),
    make("p", {}, `Templates, training faces, and the answers and rows that name ${subject} are removed everywhere. This cannot be undone.`),
    make("div", { class: "tools" },
      make("button", { type: "button", class: "danger main", onclick: () => dialog.close("yes") }, "Erase"),
      make("button", { type: "button", autofocus: true, onclick: () => dialog.close("") }, "Cancel")));
  document.body.append(dialog);
  dialog.showModal();
}

function receiptOf(receipt, subject) {
  const waiting = receipt.waiting_for.length;
  const rows = [
    ["Receipt", receipt.erasure_id],
    ["Asked at", clock(receipt.requested_at)],
    waiting ? ["Still to be erased by", receipt.waiting_for.join(", ")] : ["Erased at", clock(receipt.completed_at)],
    ...Object.entries(receipt.removed).map(([role, counts]) => [`Removed by ${role}`, Object.entries(counts).map(([what, count]) => `${count} ${what}`).join(", ") || "nothing"]),
    ...Object.entries(receipt.logs_until).map(([topic, until]) => [`Old messages on ${topic} go by`, clock(until)]),
    ...(receipt.may_have_learned.length ? [["Models that may have learned", receipt.may_have_learned.join(", ")]] : []),
  ];
  const details = rows.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value)));
  const heading = waiting ? `${subject} is being erased` : `${subject} is erased`;
  return [make("h2", {}, heading), make("details", {}, make("summary", {}, "Receipt"), make("dl", {}, ...details))];
}
