/** The view of answers as they come. It draws at most once a frame of the screen, however many come. */

import { errorNote, may, meaning } from "./api.js";
import { emptyFrame, likeness, nameOf, summary } from "./answers.js";
import { corrections } from "./corrections.js";
import { clock, counted, make, timeOf } from "./dom.js";
import { follow } from "./events.js";

const KEPT = 500; // answers that the filter can find
const SHOWN = 60;
const CAMERAS = 24;
const SAID_MS = 5_000; // a screen reader is told no more often
const STATES = {
  following: "Following.",
  gap: "Following; some answers of the time without a connection are no longer kept.",
  away: "The gateway does not answer. Trying again…",
};

export const title = "Live";

/** Show the view; returns what ends it. */
export function show(root, user) {
  if (!may("read")) {
    root.append(make("p", {}, "The key may not read answers: it lacks the scope read."));
    return () => {};
  }
  const answers = [];
  const cameras = new Map();
  let fresh = [];
  let said = 0;
  let drawing = 0;
  const ended = new AbortController();
  const correct = corrections(user);
  const row = (answer) => rowOf(answer, correct);
  const state = make("p", { role: "status", class: "quiet" }, "Connecting…");
  const news = make("p", { role: "status", class: "unseen" });
  const strip = make("ul", { class: "cameras", "aria-label": "The latest of each camera" });
  const list = make("ol", { class: "answers", "aria-label": "Answers, the newest first" });
  const nothing = make("p", { class: "quiet" }, "Nothing yet. Send frames, or try a photo.");
  const filter = make("input", { id: "filter", type: "search", placeholder: "Name or camera", oninput: redraw });
  root.append(
    make("div", { class: "tools" }, state, make("label", { for: "filter", class: "unseen" }, "Filter by name or camera"), filter),
    news, strip, nothing, list,
  );

  function take(answer) {
    fresh.push(answer);
    // A page in the background has no frames of the screen: what is too much to show is dropped here.
    if (fresh.length > 2 * KEPT) fresh = fresh.slice(-KEPT);
    drawing ||= requestAnimationFrame(draw);
  }

  function draw() {
    drawing = 0;
    const come = fresh.slice(-KEPT);
    fresh = [];
    answers.unshift(...come.slice().reverse());
    answers.length = Math.min(answers.length, KEPT);
    for (const answer of come.filter((one) => one.faces)) cameras.set(answer.camera_id, answer);
    const rows = come.filter(wanted).slice(-SHOWN).reverse().map(row);
    list.prepend(...rows);
    while (list.children.length > SHOWN) list.lastElementChild.remove();
    strip.replaceChildren(...[...cameras].slice(0, CAMERAS).map(([camera, answer]) => card(camera, answer)));
    nothing.hidden = answers.length > 0;
    if (Date.now() - said > SAID_MS) {
      said = Date.now();
      news.textContent = `${counted(come.length, "new answer")}, the last: ${wordsOf(come.at(-1))}`;
    }
  }

  function redraw() {
    list.replaceChildren(...answers.filter(wanted).slice(0, SHOWN).map(row));
  }

  function wanted(answer) {
    const text = filter.value.trim().toLowerCase();
    return !text || `${wordsOf(answer)} ${answer.camera_id ?? ""}`.toLowerCase().includes(text);
  }

  follow(user, take, (word, error) => {
    if (word === "refused") state.replaceChildren(errorNote(error));
    else state.textContent = STATES[word];
  }, ended.signal);
  return () => {
    ended.abort();
    cancelAnimationFrame(drawing);
  };
}

function wordsOf(answer) {
  if (answer.faces) return `${summary(answer)} at ${answer.camera_id}`;
  return `${answer.subject_id}: photo ${answer.outcome}`;
}

function rowOf(answer, correct) {
  if (!answer.faces) {
    const why = answer.refusal ? `: ${meaning(answer.refusal.reason)}` : "";
    return make("li", { class: `answer photo ${answer.outcome}` }, make("div", {},
      make("p", {}, make("b", {}, answer.subject_id), ` · photo ${answer.outcome}${why}`),
      make("p", { class: "quiet" }, timeOf(answer.decided_at))));
  }
  const where = `${answer.camera_id}, ${clock(answer.captured_at)}`;
  const faces = answer.faces.map((face, number) =>
    make("span", { class: `face ${face.decision}` }, make("b", {}, nameOf(face)), " ", make("small", {}, likeness(face)), " ",
      answer.mode === "search" ? null : correct({ event: answer.event_id, number, face, where })));
  return make("li", { class: "answer" },
    emptyFrame(answer),
    make("div", {},
      make("p", {}, ...(faces.length ? faces : [summary(answer)])),
      make("p", { class: "quiet" }, `${answer.camera_id} · `, timeOf(answer.captured_at))));
}

function card(camera, answer) {
  return make("li", {}, emptyFrame(answer), make("b", {}, camera), make("span", {}, summary(answer)), timeOf(answer.captured_at));
}
