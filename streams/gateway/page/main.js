/** Signing in, choosing the user, and changing between the views. */

import { caller, errorNote, signIn, signOut } from "./api.js";
import { byId, make } from "./dom.js";
import * as enrol from "./enrol.js";
import * as live from "./live.js";
import * as ops from "./ops.js";
import * as people from "./people.js";
import * as seen from "./seen.js";
import * as tryPhoto from "./try.js";

const VIEWS = { live, seen, try: tryPhoto, enrol, people, ops };
let user = "";
let signedIn = false;
let end = () => {};

/** The fragment #key=…&user=… never reaches a server; it is removed at once, also from the history. */
function fragment() {
  const given = new URLSearchParams(location.hash.slice(1));
  const key = given.get("key");
  if (key) history.replaceState(null, "", "#live");
  return key ? { key, user: given.get("user") ?? "" } : null;
}

async function enter(key, wanted = "") {
  const problem = byId("sign-in-problem");
  problem.replaceChildren();
  try {
    await signIn(key);
  } catch (error) {
    leave();
    problem.replaceChildren(...errorNote(error).childNodes);
    return;
  }
  signedIn = true;
  const names = caller.users === "all" ? [] : caller.users;
  byId("users").replaceChildren(...names.map((name) => make("option", { value: name })));
  user = wanted || names[0] || "";
  byId("user").value = user;
  byId("key").value = "";
  for (const id of ["views", "user-form"]) byId(id).hidden = false;
  byId("ops-link").hidden = !ops.allowed();
  byId("sign-in").hidden = true;
  render();
}

function leave() {
  signOut();
  signedIn = false;
  user = "";
  end();
  end = () => {};
  byId("view").replaceChildren();
  for (const id of ["views", "user-form"]) byId(id).hidden = true;
  byId("sign-in").hidden = false;
  byId("key").focus();
}

function render(focus = false) {
  if (!signedIn) return;
  const name = location.hash.slice(1) in VIEWS ? location.hash.slice(1) : "live";
  const view = VIEWS[name];
  end();
  end = () => {};
  for (const link of byId("views").children) {
    if (link.hash === `#${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const ready = user || view.ofAllUsers;
  const heading = make("h1", { tabindex: -1 }, ready ? view.title : "Choose a user");
  const root = make("section", {}, heading);
  document.title = `${view.title} · facestream`;
  byId("view").replaceChildren(root);
  if (ready) end = view.show(root, user);
  else root.append(make("p", {}, "The key reaches all users. Type the name of the one whose people and answers you want to see."));
  if (!ready) byId("user").focus();
  else if (focus) heading.focus();
}

byId("sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  enter(byId("key").value);
});
byId("user-form").addEventListener("submit", (event) => {
  event.preventDefault();
  user = byId("user").value.trim();
  render(true);
});
byId("sign-out").addEventListener("click", leave);
addEventListener("hashchange", () => {
  const given = fragment();
  if (given) enter(given.key, given.user);
  else if (location.hash !== "#main") render(true);
});
// A photo that misses the place to drop it must not replace the page.
for (const type of ["dragover", "drop"]) addEventListener(type, (event) => event.preventDefault());

const given = fragment();
if (given) enter(given.key, given.user);
