/** Server-sent events over fetch: EventSource cannot send a key in a header, and addresses must not hold it. */

import { at, request } from "./api.js";

const SILENCE_MS = 45_000; // the gateway says something at least every 15 s
const MOST_WAIT_MS = 15_000;

/**
 * Follow a user's answers until the signal aborts; connects again where it was.
 * `onAnswer(answer)` gets each, `onState(word, error)` "following", "gap" (some are no longer kept), "away" or "refused".
 * The answers that are kept come first, unless `kept` is false.
 */
export async function follow(user, onAnswer, onState, signal, { kept = true } = {}) {
  let last = kept ? "0" : "";
  let first = true;
  let wait = 1_000;
  while (!signal.aborted) {
    const connection = new AbortController();
    const end = () => connection.abort();
    signal.addEventListener("abort", end);
    let watchdog = setTimeout(end, SILENCE_MS);
    try {
      const headers = { Accept: "text/event-stream", ...(last ? { "Last-Event-ID": last } : {}) };
      const answer = await request("GET", at`/api/v1/users/${user}/live`, { headers, signal: connection.signal });
      for await (const event of events(answer.body)) {
        clearTimeout(watchdog);
        watchdog = setTimeout(end, SILENCE_MS);
        wait = 1_000;
        if (event.id) last = event.id;
        if (event.type === "begin" || event.type === "gap") {
          onState(event.type === "gap" && !first ? "gap" : "following");
          first = false;
        } else if (event.data) {
          onAnswer(JSON.parse(event.data));
        }
      }
    } catch (error) {
      if (error.status >= 400 && error.status < 500 && error.status !== 429) {
        onState("refused", error);
        return;
      }
    } finally {
      clearTimeout(watchdog);
      signal.removeEventListener("abort", end);
    }
    if (signal.aborted) return;
    onState("away");
    await new Promise((done) => setTimeout(done, wait));
    wait = Math.min(2 * wait, MOST_WAIT_MS);
  }
}

/** The events of a body: `{id, type, data}`; one without data has the data "", a comment is one too. */
export async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    text += value;
    let end;
    while ((end = text.indexOf("\n\n")) >= 0) {
      yield parsed(text.slice(0, end));
      text = text.slice(end + 2);
    }
  }
}

function parsed(block) {
  const event = { id: "", type: "message", data: "" };
  for (const line of block.split("\n")) {
    const colon = line.indexOf(":");
    const name = line.slice(0, colon);
    const value = line.slice(colon + 1).replace(/^ /, "");
    if (name === "data") event.data += value;
    else if (name === "id") event.id = value;
    else if (name === "event") event.type = value;
  }
  return event;
}
