/** The gateway's API, and the key, which only this module has: in memory, so that nothing on the disk can be read. */

import { make } from "./dom.js";

let key = "";
let reasons = {};

/** Who has signed in: `scopes`, `users` ("all" or names), and the limits of the gateway. */
export const caller = { scopes: [], users: [], limits: {} };

/** A request that was not met; `reason` is a word of the API, `detail` a sentence. */
export class Refusal extends Error {
  constructor(reason, detail, status = 0) {
    super(detail);
    this.reason = reason;
    this.status = status;
  }
}

/** The path with names filled in: at`/api/v1/users/${user}`. */
export function at(parts, ...names) {
  return parts.reduce((path, part, i) => path + segment(names[i - 1]) + part);
}

function segment(name) {
  // A browser would resolve these two: erasing the subject ".." would be a request about something else.
  if (name === "." || name === ".." || name === "") {
    throw new Refusal("invalid_id", `the name "${name}" cannot be part of an address`);
  }
  return encodeURIComponent(name);
}

/** Sign in with a key; `caller` then says what it may do. */
export async function signIn(text) {
  key = "";
  try {
    reasons = await ask("GET", "/page/reasons.json");
    key = text.trim();
    const told = await ask("GET", "/api/");
    if (!told.caller?.key) throw new Refusal("foreign_origin", "this gateway asks for no key, and answers programs only");
    Object.assign(caller, told.caller, { limits: told.limits });
  } catch (error) {
    key = "";
    throw error;
  }
}

/** Forget the key. */
export function signOut() {
  key = "";
}

/** Whether the key allows all of this. */
export function may(...scopes) {
  return scopes.every((scope) => caller.scopes.includes(scope));
}

/** Send a request; the answer as JSON, with `status` 202 told by `accepted`. */
export async function ask(method, path, options = {}) {
  const answer = await request(method, path, options);
  const body = await answer.json();
  return answer.status === 202 ? { ...body, accepted: true } : body;
}

/** Send a request; throws a Refusal unless it was met. */
export async function request(method, path, { query = {}, headers = {}, body, signal } = {}) {
  const url = new URL(path, location.origin);
  for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
  let answer;
  try {
    answer = await fetch(url, {
      method,
      body,
      signal,
      headers: key ? { ...headers, Authorization: `Bearer ${key}` } : headers,
      cache: path.startsWith("/page/") ? "default" : "no-store",
      credentials: "omit",
      redirect: "error",
    });
  } catch (error) {
    if (signal?.aborted || error instanceof Refusal) throw error;
    throw new Refusal("unreachable", "the gateway does not answer");
  }
  if (answer.ok) return answer;
  const problem = await answer.json().catch(() => ({}));
  throw new Refusal(problem.reason ?? "fault", problem.detail ?? `the gateway answered ${answer.status}`, answer.status);
}

/** Send a picture and wait for the answer, however long that takes within a minute. */
export async function sendPicture(path, picture, query = {}) {
  const most = caller.limits.picture_bytes;
  if (picture.size > most) {
    throw new Refusal("picture_too_large", `the picture has ${picture.size} bytes, and ${most} are allowed`);
  }
  const headers = { "Content-Type": "application/octet-stream" };
  let answer = await ask("POST", path, { body: picture, headers, query: may("read") ? { ...query, wait: "20s" } : query });
  for (let tries = 0; answer.accepted && may("read") && tries < 2; tries++) {
    const { event_id: id } = answer;
    answer = await ask("GET", at`/api/v1/events/${id}`, { query: { wait: "20s" } }).catch((error) => {
      if (error.reason === "unknown_event") return answer;
      throw error;
    });
  }
  return answer;
}

/** What a reason means. */
export function meaning(reason) {
  return reasons[reason]?.meaning ?? reason;
}

/** What to do about a reason; empty where nothing helps. */
export function advice(reason) {
  return reason === "unreachable" ? "Check the connection, then try again." : (reasons[reason]?.advice ?? "");
}

/** A paragraph that says why something was refused, and how to do better. */
export function refusalNote(reason, detail = "") {
  const why = detail || meaning(reason);
  const sentence = `${why.charAt(0).toUpperCase()}${why.slice(1).replace(/\.$/, "")}.`;
  return make("p", { class: "refused", "data-reason": reason }, make("strong", {}, sentence), " ", advice(reason));
}

/** The same of an error. */
export function errorNote(error) {
  if (!(error instanceof Refusal)) console.error(error);
  return error instanceof Refusal ? refusalNote(error.reason, error.message) : refusalNote("fault", "the page has a fault");
}
