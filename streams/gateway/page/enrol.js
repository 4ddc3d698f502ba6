/** The view that enrols a person with photos; a refusal comes in words, and with how to do better. */

import { at, errorNote, may, refusalNote, sendPicture } from "./api.js";
import { counted, make } from "./dom.js";
import { drawFaces, drawn, picker } from "./pictures.js";

export const title = "Enrol";

/** Show the view. */
export function show(root, user) {
  if (!may("upload")) {
    root.append(make("p", {}, "The key may not enrol: it lacks the scope upload."));
    return () => {};
  }
  const name = make("input", { id: "subject", required: true, maxlength: 256, autocomplete: "off" });
  const purpose = make("input", { id: "purpose", required: true, maxlength: 1024, autocomplete: "off", "aria-describedby": "purpose-help" });
  const training = make("input", { id: "training", type: "checkbox" });
  const results = make("ol", { class: "results", "aria-label": "Photos, the newest first" });
  const state = make("p", { role: "status" });
  let queue = Promise.resolve();

  function enrolAll(files) {
    for (const field of [name, purpose]) if (!field.reportValidity()) return;
    const wish = { subject: name.value.trim(), purpose: purpose.value.trim(), training: training.checked };
    for (const file of files) queue = queue.then(() => enrol(user, wish, file, results, state));
  }

  root.append(
    make("form", { class: "fields", onsubmit: (event) => event.preventDefault() },
      make("label", { for: "subject" }, "Name of the person"), name,
      make("label", { for: "purpose" }, "What the person has agreed to"), purpose,
      make("p", { id: "purpose-help", class: "quiet" }, "For example: opening the door. It is kept with the photo's outcome."),
      make("label", { class: "check" }, training, " Models may learn from the photos")),
    picker({ multiple: true, onPictures: enrolAll }),
    state, results);
  return () => {};
}

async function enrol(user, { subject, purpose, training }, file, results, state) {
  const words = make("div", {}, make("p", {}, `${file.name}: looking…`));
  const canvas = await drawn(file);
  results.prepend(make("li", { class: "enrolled" }, canvas, words));
  try {
    const path = at`/api/v1/users/${user}/subjects/${subject}/photos`;
    const outcome = await sendPicture(path, file, { purpose, training });
    words.replaceChildren(...said(outcome, subject));
    if (outcome.box) {
      const decision = outcome.outcome === "enrolled" ? "match" : "refused";
      const face = { decision, subject_id: subject, reason: outcome.refusal?.reason, box: outcome.box };
      drawFaces(canvas, await sizeOf(file), [face], { names: false });
    }
    state.textContent = `${file.name}: ${outcome.outcome ?? "accepted"}.`;
  } catch (error) {
    words.replaceChildren(errorNote(error));
    state.textContent = `${file.name}: refused.`;
  }
}

function said(outcome, subject) {
  if (outcome.accepted) return [make("p", {}, `The photo of ${subject} is taken; its outcome is not known yet.`)];
  if (outcome.outcome !== "enrolled") return [refusalNote(outcome.refusal?.reason ?? "failed", outcome.refusal?.detail)];
  const lines = [make("p", { class: "good" }, make("strong", {}, `${subject} is enrolled`), `, now with ${counted(outcome.templates, "photo")}.`)];
  if (outcome.repeats) lines.push(make("p", { class: "quiet" }, "This photo was enrolled before, and counts once."));
  if (outcome.similar_subject_id) lines.push(make("p", { class: "refused" }, outcome.detail ?? `Looks like ${outcome.similar_subject_id}.`));
  return lines;
}

async function sizeOf(file) {
  try {
    const { width, height } = await createImageBitmap(file);
    return { width, height };
  } catch {
    return { width: 640, height: 480 };
  }
}
