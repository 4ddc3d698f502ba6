/** The view for those who run facestream: pace, what waits, versions, dead letters, replays and trainings. */

import { ask, caller, errorNote, may } from "./api.js";
import { counted, make, timeOf } from "./dom.js";
import { follow } from "./events.js";

const EVERY_MS = 10_000;
const SELDOM = 6; // of so many times the whole topics are read once, which costs more
const PACE_MS = 10_000; // the pace is that of so long
const NEWEST = 10;

export const title = "Operations";
/** It may be looked at before a user is chosen. */
export const ofAllUsers = true;

/** Whether the key may see it: it is about all users. */
export function allowed() {
  return may("ops") && caller.users === "all";
}

/** Show the view; returns what ends it. */
export function show(root, user) {
  if (!allowed()) {
    root.append(make("p", {}, "This view is about all users: it needs a key for all of them with the scope ops."));
    return () => {};
  }
  const ended = new AbortController();
  const sections = [
    section("Partitions by role", "shards", shardTable),
    section("Model versions", "models", modelTable),
    section("Dead letters", "dead-letters", letterTable),
    section("Replays", `replays?limit=${NEWEST}`, replayTable),
    section("Trainings", `runs?limit=${NEWEST}`, runTable),
  ];
  if (user && may("read")) root.append(pace(user, ended.signal));
  root.append(...sections.map((one) => one.element));
  let times = 0;
  const reload = () => {
    if (document.hidden) return;
    for (const one of times++ % SELDOM ? sections.slice(0, 1) : sections) one.reload();
  };
  const timer = setInterval(reload, EVERY_MS);
  reload();
  return () => {
    ended.abort();
    clearInterval(timer);
  };
}

/** Frames a second and how long they took, of one user: of the answers that come while this is shown. */
function pace(user, signal) {
  const text = make("p", {}, "");
  let came = [];
  let state = "Connecting…";
  const tell = () => {
    came = came.filter((one) => Date.now() - one.at < PACE_MS);
    const took = came.map((one) => one.took).sort((a, b) => a - b);
    const of = (share) => `${Math.round(took[Math.min(took.length - 1, Math.floor(share * took.length))])} ms`;
    const words = took.length ? `, half of them within ${of(0.5)}, 99 of 100 within ${of(0.99)} from the producer to the decision` : "";
    text.textContent = state || `${(1000 * came.length / PACE_MS).toFixed(1)} frames a second${words}.`;
  };
  follow(user, (answer) => {
    if (answer.faces) came.push({ at: Date.now(), took: new Date(answer.matched_at) - new Date(answer.timings.produced_at) });
  }, (word, error) => {
    state = word === "away" ? "The gateway does not answer. Trying again…" : "";
    if (word === "refused") state = error.message;
    tell();
  }, signal, { kept: false });
  tell();
  const timer = setInterval(tell, 1_000);
  signal.addEventListener("abort", () => clearInterval(timer));
  return make("section", { class: "panel" }, make("h2", {}, `Pace of ${user} in the last 10 s`), text);
}

/** A part of the view that is read again and again; what it shows stays while nothing else comes. */
function section(heading, path, draw) {
  const content = make("div", {}, make("p", { class: "quiet" }, "Reading…"));
  const problem = make("div", { role: "status" });
  let reading = false;
  async function reload() {
    if (reading) return;
    reading = true;
    try {
      const found = await ask("GET", `/api/v1/${path}`);
      // A button that has the focus would lose it.
      if (!content.contains(document.activeElement)) content.replaceChildren(...draw(found, reload));
      problem.replaceChildren();
    } catch (error) {
      problem.replaceChildren(errorNote(error));
    } finally {
      reading = false;
    }
  }
  return { element: make("section", { class: "panel" }, make("h2", {}, heading), problem, content), reload };
}

function table(caption, columns, rows) {
  const head = make("thead", {}, make("tr", {}, ...columns.map((name) => (name ? make("th", { scope: "col" }, name) : make("td", {})))));
  const body = make("tbody", {}, ...rows.map(([first, ...cells]) =>
    make("tr", {}, make("th", { scope: "row" }, first), ...cells.map((cell) => make("td", {}, cell)))));
  return make("div", { class: "wide", tabindex: 0, role: "region", "aria-label": caption }, make("table", {}, head, body));
}

function shardTable({ roles }) {
  return [table("Partitions by role", ["Role", "Workers", "Waiting", "Longest wait"], Object.entries(roles).map(([role, state]) => {
    const sum = (name) => state.partitions.reduce((total, one) => total + (one[name] ?? 0), 0);
    const known = state.partitions.every((one) => one.lag_s !== null);
    const longest = known ? `${Math.max(0, ...state.partitions.map((one) => one.lag_s)).toFixed(1)} s` : "not known";
    const ownerless = state.partitions.filter((one) => one.owner === null).length;
    const workers = `${state.workers.length}${ownerless ? `, ${counted(ownerless, "partition")} without` : ""}`;
    return [role, workers, String(sum("lag_events")), longest];
  }))];
}

function modelTable({ versions }) {
  return [table("Model versions", ["Version", "State", "Users", "Gate"], versions.map((one) => [
    one.version, one.answers ? `${one.state}, answers` : one.state, one.percent ? `${one.percent} %` : "",
    one.refusals.length ? one.refusals.join("; ") : "nothing against it",
  ]))];
}

function letterTable({ total, groups }, reload) {
  if (!total) return [make("p", {}, "There are none.")];
  const said = make("p", { role: "status" });
  return [table("Dead letters", ["Reason", "Role", "Open", "Sent back", "Last", ""], groups.map((one) => [
    one.reason, one.stage, String(one.open), String(one.sent), timeOf(one.last_failed_at),
    one.open ? make("button", { type: "button", class: "small", "aria-label": `Send back: ${one.reason}, ${one.stage}`,
      onclick: (event) => sendBack(one, event.currentTarget, said, reload) }, "Send back") : "",
  ])), said];
}

async function sendBack({ reason, stage }, button, said, reload) {
  button.disabled = true;
  said.textContent = "Sending…";
  try {
    const done = await ask("POST", "/api/v1/dead-letters/redrive", {
      body: JSON.stringify({ reasons: [reason], stage }), headers: { "Content-Type": "application/json" },
    });
    said.textContent = `${counted(done.sent, "message")} sent back${done.problems.length ? `; ${done.problems[0]}` : ""}.`;
    button.blur();
    setTimeout(reload, 2_000);
  } catch (error) {
    said.replaceChildren(errorNote(error));
    button.disabled = false;
  }
}

function replayTable({ replays }) {
  if (!replays.length) return [make("p", {}, "There are none.")];
  return [table("Replays", ["Replay", "Topic", "State", "Sent", "Began"], replays.reverse().map((one) => [
    one.replay_id, one.topic, one.state, `${one.sent} of ${one.planned}`, timeOf(one.started_at)]))];
}

function runTable({ runs }) {
  if (!runs.length) return [make("p", {}, "There are none.")];
  return [table("Trainings", ["Training", "State", "Step", "Version", "Why"], runs.reverse().map((one) => [
    one.run_id, one.state, one.steps ? `${one.step} of ${one.steps}` : "", one.version ?? "", [one.reason, ...one.refusals].join("; ")]))];
}
