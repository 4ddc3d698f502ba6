/** "Not this person" and "this is …" on a face: what is said becomes feedback. */

import { ask, errorNote, may } from "./api.js";
import { make } from "./dom.js";
import { nameField } from "./names.js";

/**
 * Corrections of a user's answers, as long as a view is shown. The function that this returns makes the button of a
 * face, if the key may correct it: `event` and `number` say which face of which frame, `where` says it in words.
 */
export function corrections(user) {
  const said = new Map();
  return ({ event, number, face, where }) => {
    if (!may("read", "upload")) return null;
    const id = `${event} ${number}`;
    const name = face.decision === "match" ? face.subject_id : "";
    const note = make("span", { class: "said" });
    const button = make("button", { type: "button", class: "small", onclick: open }, "Correct…");

    function tell() {
      note.textContent = said.get(id) ?? "";
      // The focus comes back to the button, so a screen reader says what was noted.
      button.setAttribute("aria-label", [`Correct ${name || "unknown"}`, where, said.get(id)].filter(Boolean).join(", "));
    }

    function open() {
      showDialog({ user, name, where, poor: face.decision === "refused" }, async (fields) => {
        const told = await ask("POST", "/api/v1/feedback", {
          body: JSON.stringify({ event_id: event, face: number, ...fields }),
          headers: { "Content-Type": "application/json" },
        });
        said.set(id, `noted: ${told.statement === "is" ? "this is" : "not"} ${told.subject_id}`);
        tell();
      });
    }

    tell();
    return make("span", { class: "correct" }, button, note);
  };
}

/** Ask who it is; `say(fields)` sends it. A face that is too poor cannot be learned from. */
function showDialog({ user, name, where, poor }, say) {
  const problem = make("div", { role: "alert" });
  const training = make("input", { type: "checkbox" });
  const other = nameField(user, name ? "Or this is" : "This is", { required: true, autofocus: true });

  async function submit(statement, subject) {
    problem.replaceChildren();
    try {
      await say({ statement, subject_id: subject, training: training.checked });
      dialog.close();
    } catch (error) {
      problem.replaceChildren(errorNote(error));
    }
  }

  const dialog = make("dialog", { "aria-labelledby": "correct-title", onclose: () => dialog.remove() },
    make("h2", { id: "correct-title" }, name ? `Is this ${name}?` : "Who is this?"),
    make("p", { class: "quiet" }, where),
    name ? make("div", { class: "tools" },
      make("button", { type: "button", onclick: () => submit("is", name) }, "Yes"),
      make("button", { type: "button", class: "danger", onclick: () => submit("is_not", name) }, `Not ${name}`)) : null,
    make("form", { class: "fields", onsubmit: (event) => { event.preventDefault(); submit("is", other.field.value.trim()); } },
      ...other.parts, make("button", { class: "main" }, "Say so")),
    poor ? null : make("label", { class: "check" }, training, " Models may learn from the face, if the person has agreed"),
    problem,
    make("button", { type: "button", onclick: () => dialog.close() }, "Cancel"));
  document.body.append(dialog);
  dialog.showModal();
}
