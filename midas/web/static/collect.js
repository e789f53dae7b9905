// Collect: the page asks for drawings of each class; each is on the server's disk before the next is asked for.

import { get, post, report } from "./api.js";
import { byId, make } from "./dom.js";
import { Pad } from "./pad.js";

const pad = new Pad(byId("collect-pad"), isDrawing => { keep(isDrawing); buttons(); });
let state = null; // of the collection, as the server described it
let asked = null; // the class to draw
let id = null; // of the drawing
let done = []; // drawings that were saved since the collection was opened
let isBusy = false;

const path = (rest = "") => `/api/collections/${encodeURIComponent(state.name)}${rest}`;

// The time, so that files are in the order in which they were drawn, and a random number.
function newId() {
  const time = new Date().toISOString().replace(/\..*$/, "").replace(/[-:]/g, "").toLowerCase();
  return `${time}-${crypto.getRandomValues(new Uint32Array(1))[0].toString(16).padStart(8, "0")}`;
}


// A drawing that is not saved yet outlives a browser that is closed or killed.
const draftKey = collection => `midas draft ${collection.name}`;
function keep(isDrawing) {
  if (!state || isDrawing) return;
  if (pad.isEmpty) localStorage.removeItem(draftKey(state));
  else localStorage.setItem(draftKey(state), JSON.stringify({ id, label: asked, strokes: pad.strokes }));
}

function goOn(collection) {
  const draft = JSON.parse(localStorage.getItem(draftKey(collection)) ?? "null");
  begin(collection);
  if (!draft || !state.classes.some(each => each.label === draft.label)) return;
  ({ id, label: asked } = draft);
  pad.set(draft.strokes);
  show();
  say("Your last drawing was not saved yet; it is back.");
}

function say(text) { byId("saved").textContent = text; }

function buttons() {
  byId("collect-save").disabled = isBusy || pad.isEmpty || asked === null;
  byId("collect-undo").disabled = isBusy || (pad.isEmpty && !done.length);
  byId("collect-skip").disabled = isBusy || asked === null;
  byId("collect-leave").disabled = pad.isLocked = isBusy;
}

function show() {
  byId("prompt").replaceChildren(...(asked === null
    ? ["All drawings are collected. For more, create a collection of the same name with a higher number, or train a network."]
    : ["Draw", make("b", {}, asked)]));
  byId("collect-name").textContent = state.name;
  byId("collect-folder").textContent = state.folder;
  const wanted = state.drawn + state.missing;
  byId("collect-progress").value = wanted ? state.drawn / wanted : 1;
  byId("collect-count").textContent = `${state.drawn} of ${wanted} drawings`;
  byId("collect-classes").replaceChildren(...state.classes.map(each => make("li",
    { class: [each.drawn >= state.wanted && "done", each.label === asked && "now"].filter(Boolean).join(" ") },
    each.label, make("span", {}, `${each.drawn}`))));
  buttons();
}

function next(answer) {
  state = answer;
  asked = answer.next;
  id = newId();
  pad.clear();
  show();
}

// Do something with the server, once at a time; what is drawn stays if that fails.
async function act(work) {
  if (isBusy) return;
  isBusy = true;
  buttons();
  try {
    await work();
    report(null);
  } catch (error) {
    report(error);
    if (!pad.isEmpty) say("Not saved; the drawing is kept here. Try again.");
  } finally {
    isBusy = false;
    buttons();
    pad.canvas.focus({ preventScroll: true });
  }
}

const save = () => act(async () => {
  if (pad.isEmpty || asked === null) return;
  const drawing = { id, label: asked };
  const answer = await post(path("/drawings"), { ...drawing, strokes: pad.strokes });
  done.push(drawing);
  next(answer);
  say(`Saved ${drawing.label}.`);
});

const undo = isRepeated => {
  if (isBusy) return;
  if (!pad.isEmpty) return pad.undo();
  if (isRepeated) return; // a key that is held does not remove what is saved
  act(async () => {
    const last = done.at(-1);
    if (!last) return;
    next(await post(path("/undo"), last));
    done.pop();
    say(`Removed ${last.label}; draw it again.`);
  });
};

const skip = () => act(async () => {
  if (asked !== null) next(await get(path(`?skip=${encodeURIComponent(asked)}`)));
});

function begin(answer) {
  done = [];
  byId("collect-choice").hidden = true;
  byId("collecting").hidden = false;
  next(answer);
  say("");
  pad.canvas.focus({ preventScroll: true });
}

function leave() {
  byId("collect-choice").hidden = false;
  byId("collecting").hidden = true;
  state = null;
  shown();
}

byId("collect-save").addEventListener("click", save);
byId("collect-undo").addEventListener("click", () => undo());
byId("collect-skip").addEventListener("click", skip);
byId("collect-leave").addEventListener("click", leave);
pad.canvas.addEventListener("keydown", event => {
  const actions = { Enter: save, Backspace: undo, Escape: () => isBusy || pad.clear(), s: skip, S: skip };
  const isUndo = event.key === "z" && (event.ctrlKey || event.metaKey);
  if (!isUndo && (event.ctrlKey || event.metaKey || event.altKey || !(event.key in actions))) return;
  event.preventDefault();
  (isUndo ? undo : actions[event.key])(event.repeat);
});
byId("new-collection").addEventListener("submit", async event => {
  event.preventDefault();
  const { name, classes, wanted } = Object.fromEntries(new FormData(event.target));
  try {
    goOn(await post("/api/collections", { name, classes, wanted: Number(wanted) }));
    report(null);
  } catch (error) {
    report(error);
  }
});

function card(each) {
  const wanted = each.drawn + each.missing;
  const bar = make("progress", { max: wanted || 1, value: each.drawn, "aria-label": `Drawings of ${each.name}` });
  return make("article", { class: "card" }, make("h3", {}, each.name),
    make("p", { class: "explain" }, `${each.classes.length} classes, ${each.drawn} of ${wanted} drawings`), bar,
    make("p", {}, make("button", { type: "button", onclick: () => goOn(each) }, "Go on")));
}

export async function shown() {
  if (state) return;
  try {
    const { collections } = await get("/api/collections");
    byId("collections").replaceChildren(...collections.map(card));
  } catch (error) {
    report(error);
  }
}

buttons();
