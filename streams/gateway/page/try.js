/** The view that asks who is in a photo. The photo is not kept. */

import { at, errorNote, may, refusalNote, sendPicture } from "./api.js";
import { likeness, nameOf } from "./answers.js";
import { corrections } from "./corrections.js";
import { make } from "./dom.js";
import { drawFaces, drawn, picker } from "./pictures.js";

export const title = "Try a photo";

/** Show the view. */
export function show(root, user) {
  if (!may("frame", "read")) {
    root.append(make("p", {}, "The key may not ask: it needs the scopes frame and read."));
    return () => {};
  }
  const result = make("div", { class: "result" });
  const state = make("p", { role: "status" });
  const correct = corrections(user);
  root.append(
    make("p", {}, `Who of ${user}'s people is in a photo?`),
    picker({ onPictures: ([picture]) => tryPicture(user, picture, result, state, correct) }),
    state, result);
  return () => {};
}

async function tryPicture(user, picture, result, state, correct) {
  const canvas = await drawn(picture);
  result.replaceChildren(canvas);
  state.textContent = "Looking…";
  try {
    const answer = await sendPicture(at`/api/v1/users/${user}/identify`, picture, { camera_id: "page" });
    if (result.firstElementChild !== canvas) return; // another picture was chosen meanwhile
    state.textContent = "";
    if (answer.accepted) {
      state.textContent = "The answer takes long; it will be in the live view.";
    } else if (answer.refusal) {
      result.append(refusalNote(answer.refusal.reason, answer.refusal.detail));
    } else {
      drawFaces(canvas, answer, answer.faces);
      result.append(facesOf(answer, correct));
      state.textContent = `Answered: ${answer.faces.map(nameOf).join(", ") || "no face was found"}.`;
    }
  } catch (error) {
    state.textContent = "";
    result.append(errorNote(error));
  }
}

function facesOf(answer, correct) {
  if (!answer.faces.length) return refusalNote("no_face");
  return make("ol", { class: "faces" }, ...answer.faces.map((face, number) => {
    const details = face.candidates.slice(0, 3).map((one) => `${one.subject_id} ${one.similarity.toFixed(2)}`).join(", ");
    return make("li", { class: `face ${face.decision}` },
      make("b", {}, nameOf(face)), " ", make("small", {}, likeness(face)),
      face.ambiguous ? make("p", { class: "quiet" }, "Two people fit about as well.") : null,
      details ? make("p", { class: "quiet" }, `Nearest: ${details}`) : null,
      face.reason ? refusalNote(face.reason) : null,
      correct({ event: answer.event_id, number, face, where: "the photo" }));
  }));
}
