/** Erasing, after asking once more, and the receipt. */

import { ask, errorNote } from "./api.js";
import { clock, make } from "./dom.js";

/** Ask whether to erase; `onYes` is called if so. */
export function confirmErase(what, consequence, onYes) {
  const dialog = make("dialog", { "aria-labelledby": "erase-title", onclose: () => { dialog.remove(); if (dialog.returnValue === "yes") onYes(); } },
    make("h2", { id: "erase-title" }, `Erase ${what}?`),
    make("p", {}, `${consequence} This cannot be undone.`),
    make("div", { class: "tools" },
      make("button", { type: "button", class: "danger main", onclick: () => dialog.close("yes") }, "Erase"),
      make("button", { type: "button", autofocus: true, onclick: () => dialog.close("") }, "Cancel")));
  document.body.append(dialog);
  dialog.showModal();
}

/** Erase what the path names; the receipt, which is also put among the others, or null if it was refused. */
export async function erase(path, what, receipts) {
  const place = make("div", { class: "panel receipt" }, make("p", {}, `Erasing ${what}…`));
  receipts.prepend(place);
  try {
    const receipt = await ask("DELETE", path, { query: { wait: "8s" } });
    place.replaceChildren(...receiptOf(receipt, what));
    return receipt;
  } catch (error) {
    place.replaceChildren(errorNote(error));
    return null;
  }
}

function receiptOf(receipt, what) {
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
  const name = `${what.charAt(0).toUpperCase()}${what.slice(1)}`;
  const heading = waiting ? `${name} is being erased` : `${name} is erased`;
  return [make("h2", {}, heading), make("details", {}, make("summary", {}, "Receipt"), make("dl", {}, ...details))];
}
