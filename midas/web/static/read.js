// Read: what is drawn, dropped, pasted or photographed is answered by all chosen networks.

import { get, post, report } from "./api.js";
import { byId, draw, make, percent } from "./dom.js";
import { PAGE, Pad } from "./pad.js";

const EVERY = 30; // milliseconds at least between two requests while the pen moves
const PAUSE = 300; // milliseconds without a change until an answer is explained and read out
const SURE = 0.5;
const MANY = 2; // networks; more have most of the width
const root = byId("read-pad");
const image = root.querySelector("img");
const overlay = root.querySelector("svg");
const pad = new Pad(root, () => { image.hidden = true; file = null; change(); });
let file = null; // the image that is shown instead of a drawing
let known = []; // networks
let chosen = []; // their keys
let version = 0; // of what is shown
let isAsking = false;
let timer = 0;

const mode = () => document.querySelector("[name=mode]:checked").value;
const isBlank = () => !file && pad.isEmpty;

// ---- asking

function request(networks) {
  if (!file) return { strokes: pad.strokes, networks, mode: mode() };
  const form = new FormData();
  form.append("image", file, file.name || "image");
  form.append("mode", mode() === "page" ? "page" : "auto");
  for (const key of networks) form.append("networks", key);
  return form;
}

async function change() {
  version += 1;
  clearTimeout(timer);
  root.querySelector(".hint").hidden = !isBlank();
  for (const id of ["read-undo", "read-clear"]) byId(id).disabled = isBlank();
  if (isBlank()) {
    report(null);
    return clear();
  }
  if (isAsking) return; // the answer to come asks again
  isAsking = true;
  const late = setTimeout(() => byId("answers").classList.add("waiting"), PAUSE); // a network is being loaded
  for (let asked = -1; asked !== version && !isBlank();) {
    asked = version;
    const next = new Promise(resolve => setTimeout(resolve, EVERY));
    let refusal = null;
    try {
      const answer = await post("/api/read", request(chosen));
      if (!isBlank()) show(answer);
    } catch (error) {
      refusal = error; // the strokes that came since may be a character
    }
    if (asked === version) report(refusal);
    if (asked === version && !refusal) timer = setTimeout(explain, PAUSE);
    await next;
  }
  isAsking = false;
  clearTimeout(late);
  byId("answers").classList.remove("waiting");
}

// What the answer rests on takes a little longer, so it is asked for when the pen rests.
async function explain() {
  const asked = version;
  const first = byId("answers").querySelector(".answer");
  if (isBlank() || !first) return;
  byId("spoken").textContent = first.dataset.spoken ?? "";
  if (!first.querySelector(".sees")) return; // a page of several characters
  try {
    const found = await post("/api/explain", request(chosen.slice(0, 1)));
    if (asked === version) rest(byId("answers").querySelector(".answer"), found);
  } catch (error) {
    if (asked === version) report(error);
  }
}

// ---- answers

function clear() {
  overlay.replaceChildren();
  byId("spoken").textContent = "";
  byId("answers").replaceChildren(make("p", { class: "explain" },
    "The answer appears while you draw: the five most probable classes, the glyph as the network sees it, and what the answer rests on."));
}

function show(answer) {
  overlay.replaceChildren();
  const made = answer.answers.map(answer.kind === "page" ? pageAnswer : characterAnswer);
  byId("answers").replaceChildren(...made);
  if (answer.kind === "page") boxes(answer);
}

const title = answer => make("h3", {}, answer.title, make("small", {}, answer.part));

function bars(guesses, kind = "") {
  const widest = Math.max(...guesses.map(guess => guess.probability), 1e-9);
  const rows = guesses.map(guess => {
    const bar = make("i");
    bar.style.width = `${100 * guess.probability / (kind ? widest : 1)}%`;
    return [make("dt", {}, guess.label), make("div", { class: "bar", "aria-hidden": "true" }, bar), make("dd", {}, percent(guess.probability))];
  });
  return make("dl", { class: `bars ${kind}` }, ...rows);
}

function characterAnswer(answer) {
  const [first] = answer.guesses;
  const glyph = make("figure", {}, make("span", {}, make("img", { src: answer.glyph, alt: "The normalized glyph", class: "ink" })),
    make("figcaption", {}, "As the network sees it"));
  const smallest = answer.smallest && [
    make("p", { class: "explain" }, "Smallest outputs: it was trained on wrong labels as if they were correct, so its least probable class may be the correct one."),
    bars(answer.smallest, "smallest")];
  return make("article", { class: "answer", "data-network": answer.network, "data-label": first.label,
    "data-spoken": `${first.label}, ${percent(first.probability)}` },
    title(answer),
    make("p", { class: "first" }, make("b", {}, first.label), make("span", {}, percent(first.probability))),
    bars(answer.guesses), ...(smallest ?? []),
    make("div", { class: "sees" }, glyph), make("div", { class: "rest" }));
}

function rest(card, found) {
  const map = make("figure", {}, make("span", {}, make("img", { src: found.map, alt: `The parts of the drawing that speak for ${found.label}`, class: "map" })),
    make("figcaption", {}, `Blue speaks for ${found.label}, orange against it`));
  card.querySelector(".sees").append(map);
  const changes = found.strokes.flatMap((each, index) => each.label === found.label ? []
    : [make("li", {}, `Without stroke ${index + 1}: ${each.label}, ${percent(each.probability)}`)]);
  const depends = found.strokes.length > 1 && (changes.length
    ? make("ul", { class: "explain" }, ...changes)
    : make("p", { class: "explain" }, `Without any one of its ${found.strokes.length} strokes, it would still be ${found.label}.`));
  const near = found.nearest
    ? [make("p", { class: "explain" }, "Most similar training images kept by the run, with label and similarity:"),
      make("ul", { class: "near" }, ...found.nearest.map(each => make("li", {},
        make("span", {}, make("img", { src: each.image, alt: "", class: "ink" })), `${each.label} ${each.similarity.toFixed(2)}`)))]
    : [];
  card.querySelector(".rest").replaceChildren(...[depends || null, ...near].filter(Boolean));
}

function pageAnswer(answer) {
  const chosenLine = make("p", { class: "chosen explain", "aria-live": "polite" }, "Choose a character to see the other guesses.");
  const characters = answer.characters.map((each, index) => make("li", {}, make("button", {
    type: "button", class: each.probability < SURE ? "unsure" : "",
    onclick: () => {
      const others = each.alternatives.map(other => `${other.label} ${percent(other.probability)}`).join(", ");
      chosenLine.textContent = `${index + 1}: ${each.label} ${percent(each.probability)}; ${others}`;
    },
  }, each.label, make("small", {}, percent(each.probability)))));
  const touching = answer.touching && make("p", { class: "explain" },
    `${answer.touching} as wide as two or more: characters that touch cannot be separated.`);
  return make("article", { class: "answer", "data-network": answer.network, "data-label": answer.text, "data-spoken": answer.text },
    title(answer), make("p", { class: "text" }, answer.text), touching || null,
    make("ol", { class: "characters" }, ...characters), chosenLine);
}

function boxes(answer) {
  overlay.setAttribute("viewBox", `0 0 ${answer.width} ${answer.height}`);
  const size = Math.max(answer.height / 28, 9);
  for (const each of answer.answers[0].characters) {
    const [left, top, right, bottom] = each.box;
    const kind = each.probability < SURE ? "unsure" : "";
    overlay.append(draw("rect", { x: left, y: top, width: right - left, height: bottom - top, class: kind }),
      draw("text", { x: (left + right) / 2, y: bottom + size, "font-size": size, class: kind }, each.label));
  }
}

// ---- images

function open(blob) {
  if (!blob) return;
  if (!blob.type.startsWith("image/")) return report(new Error("Give an image: PNG, JPEG, WebP and others."));
  pad.clear();
  file = blob;
  URL.revokeObjectURL(image.src);
  image.src = URL.createObjectURL(blob);
  image.alt = `The image ${blob.name || ""}`;
  image.onerror = () => { image.alt += ", which this browser cannot show"; };
  image.hidden = false;
  change();
}

for (const id of ["read-file", "read-photo"]) {
  byId(id).addEventListener("change", event => { open(event.target.files[0]); event.target.value = ""; });
}
addEventListener("paste", event => {
  if (byId("read").hidden) return;
  open([...event.clipboardData.files].find(each => each.type.startsWith("image/")));
});
for (const name of ["dragover", "dragleave", "drop"]) {
  addEventListener(name, event => {
    event.preventDefault();
    root.classList.toggle("over", name === "dragover");
    if (name === "drop" && !byId("read").hidden) open(event.dataTransfer.files[0]);
  });
}
function reset() { file = null; image.hidden = true; pad.clear(); }
byId("read-undo").addEventListener("click", () => file ? reset() : pad.undo());
byId("read-clear").addEventListener("click", reset);
pad.canvas.addEventListener("keydown", event => {
  if (event.key === "Escape") reset();
  else if (event.key === "Backspace" || (event.key === "z" && (event.ctrlKey || event.metaKey))) pad.undo();
  else return;
  event.preventDefault();
});
for (const radio of document.querySelectorAll("[name=mode]")) {
  radio.addEventListener("change", () => { pad.mode = mode(); pad.paint(); change(); });
}

// ---- networks

function choose(keys) {
  chosen = known.map(each => each.network).filter(key => keys.includes(key));
  if (!chosen.length) chosen = known.slice(0, 1).map(each => each.network);
  for (const box of byId("networks").querySelectorAll("input")) box.checked = chosen.includes(box.value);
  const titles = known.filter(each => chosen.includes(each.network)).map(each => `${each.part.split(":")[0]}, ${each.title}`);
  byId("chosen-networks").textContent = chosen.length > MANY ? `${chosen.length} side by side` : titles.join("; ");
  byId("read-desk").classList.toggle("many", chosen.length > MANY);
  change();
}

const firstSeeds = networks => networks.filter(each => !/, seed \d/.test(each.title)).slice(0, 6).map(each => each.network);

function list() {
  const parts = Map.groupBy ? [...Map.groupBy(known, each => each.part)]
    : [...new Set(known.map(each => each.part))].map(part => [part, known.filter(each => each.part === part)]);
  byId("networks").replaceChildren(...parts.map(([part, networks]) => make("fieldset", {},
    make("legend", {}, part),
    ...networks.map(each => make("label", { class: "choice" },
      make("input", { type: "checkbox", value: each.network, onchange: () => choose([...byId("networks").querySelectorAll(":checked")].map(box => box.value)) }),
      make("span", {}, each.title))),
    networks.length > 1 ? make("button", { type: "button", onclick: () => choose(firstSeeds(networks)) }, "Side by side") : null)));
}

export async function tryNetwork(key) {
  await shown();
  choose([key]);
}

export async function shown() {
  try {
    known = (await get("/api/networks")).networks;
    list();
    choose(chosen);
  } catch (error) {
    report(error);
  }
}

clear();
