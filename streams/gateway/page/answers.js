/** Answers in words and boxes: what was decided about the faces of a picture. */

import { meaning } from "./api.js";
import { shape } from "./dom.js";

/** What to call a face: its person, or why it has none. */
export function nameOf(face) {
  if (face.decision === "match") return face.subject_id;
  if (face.decision === "no_match") return "somebody else";
  return face.decision === "unknown" ? "unknown" : meaning(face.reason);
}

/** The likeness that decided, for people: "similarity 0.74". */
export function likeness(face) {
  const best = face.candidates?.[0];
  return best ? `similarity ${best.similarity.toFixed(2)}` : "";
}

/** An answer to a frame in one sentence. */
export function summary(answer) {
  if (answer.refusal) return meaning(answer.refusal.reason);
  if (!answer.faces?.length) return "nobody";
  return answer.faces.map(nameOf).join(", ");
}

/** The kinds of boxes, as classes of style.css. */
export function kindOf(face) {
  return face.ambiguous ? "ambiguous" : face.decision;
}

/** An empty frame with the boxes of the faces; pictures do not come with answers. */
export function emptyFrame(answer) {
  const width = answer.width || 4;
  const height = answer.height || 3;
  const boxes = (answer.faces ?? []).map((face) =>
    shape("rect", { class: kindOf(face), x: face.box.x, y: face.box.y, width: face.box.width, height: face.box.height, rx: width / 100 }),
  );
  const ground = shape("rect", { class: "ground", width, height });
  return shape("svg", { class: "frame", viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" }, ground, ...boxes);
}
