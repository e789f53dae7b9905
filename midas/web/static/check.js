// Check: what a label audit suspects, as tiles; one key decides about each.

import { get, post, report } from "./api.js";
import { byId, make, offer, percent } from "./dom.js";
import { watch } from "./jobs.js";

const form = byId("check-form");
const gallery = byId("gallery");
const KEYS = { k: "keep", r: "relabel", d: "drop", u: "" };
let data = ""; // what the gallery shows
let classes = [];
let wasRunning = false;
let loads = 0; // how often a gallery was asked for

function showJob(answer) {
  const isAudit = answer.job?.kind === "audit";
  const isCopy = answer.job?.kind === "copy";
  form.querySelector("button").disabled = answer.running;
  byId("check-stop").hidden = !(answer.running && isAudit);
  const what = isAudit ? `Auditing ${answer.job.name}` : isCopy ? "Writing the copy" : "A training is running";
  byId("check-state").textContent = answer.running ? `${what}: ${answer.progress || "starting"}`
    : answer.failure && answer.job.kind !== "train" ? `It failed: ${answer.failure}` : "";
  byId("check-written").textContent = answer.copy && answer.job.name === data
    ? `Wrote ${answer.copy.images} image${answer.copy.images === 1 ? "" : "s"} to ${answer.copy.path}: ${answer.copy.relabeled} relabeled, ${answer.copy.dropped} left out.` : "";
  if (wasRunning && !answer.running && isAudit && !answer.failure) load();
  wasRunning = answer.running;
}

async function load() {
  const mine = ++loads;
  const wanted = form.elements.data.value;
  byId("gallery-part").hidden = true;
  const { data: listed } = await get("/api/data");
  if (mine !== loads || !listed.some(each => each.name === wanted && each.audited)) return;
  const found = await get(`/api/audit?data=${encodeURIComponent(wanted)}`);
  if (mine !== loads) return;
  data = wanted;
  byId("gallery-part").hidden = false;
  classes = found.class_names;
  byId("check-sentence").textContent = `${found.action} ${found.sentence.replace(/^./, first => first.toUpperCase())}.`
    + (found.total > found.suspects.length ? ` The first ${found.suspects.length} of ${found.total} are shown.` : "");
  gallery.replaceChildren(...found.suspects.map((suspect, index) => tile(suspect, index, found.version)));
  count();
}

function tile(suspect, index, version) {
  const decide = action => () => decided(item, index, action, labels.value);
  const labels = make("select", { "aria-label": "Right label", tabindex: -1, onchange: () => decided(item, index, "relabel", labels.value) },
    ...classes.map(name => make("option", { value: name }, name)));
  labels.value = suspect.decision?.action === "relabel" ? suspect.decision.label : suspect.looks_like;
  const item = make("li", { tabindex: index ? -1 : 0, "data-index": index, "data-of": data, "data-version": version, "aria-label": `Labeled ${suspect.label}, looks like ${suspect.looks_like}` },
    make("img", { src: `/api/audit/${index}.png?data=${encodeURIComponent(data)}&version=${version}`, alt: "", loading: "lazy" }),
    make("p", {}, "Labeled ", make("b", {}, suspect.label), ", looks like ", make("b", {}, suspect.looks_like),
      ` (${percent(suspect.probability)})`),
    make("p", { class: "file" }, suspect.file),
    make("div", { class: "does" },
      make("button", { type: "button", tabindex: -1, "data-does": "keep", onclick: decide("keep") }, "Keep"),
      make("button", { type: "button", tabindex: -1, "data-does": "relabel", onclick: decide("relabel") }, "Relabel"), labels,
      make("button", { type: "button", tabindex: -1, "data-does": "drop", onclick: decide("drop") }, "Drop")));
  mark(item, suspect.decision);
  return item;
}

function mark(item, decision) {
  if (decision) item.dataset.action = decision.action;
  else delete item.dataset.action;
  for (const button of item.querySelectorAll("button")) button.setAttribute("aria-pressed", button.dataset.does === decision?.action);
}

async function decided(item, index, action, label) {
  try {
    const answer = await post("/api/audit/decision", { data: item.dataset.of, version: item.dataset.version, index, action, label });
    mark(item, answer.decision);
    count();
    report(null);
  } catch (error) {
    report(error);
  }
}

function count() {
  const tiles = [...gallery.children];
  const of = action => tiles.filter(each => each.dataset.action === action).length;
  byId("check-count").textContent = `${of("keep")} kept, ${of("relabel")} relabeled, ${of("drop")} dropped, `
    + `${tiles.filter(each => !each.dataset.action).length} undecided`;
  byId("check-write").disabled = !(of("relabel") + of("drop"));
}

function focus(index) {
  const item = gallery.children[index];
  if (!item) return;
  for (const each of gallery.children) each.tabIndex = each === item ? 0 : -1;
  item.focus();
}

gallery.addEventListener("keydown", event => {
  const item = event.target.closest("li");
  if (!item || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.tagName === "SELECT") {
    if (event.key === "Enter" || event.key === "Escape") item.focus();
    return;
  }
  const index = Number(item.dataset.index);
  const key = event.key.toLowerCase();
  const columns = getComputedStyle(gallery).gridTemplateColumns.split(" ").length;
  const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns };
  if (key === "l") item.querySelector("select").focus();
  else if (event.key in steps) focus(index + steps[event.key]);
  else if (key in KEYS) {
    if (event.repeat) return; // a key held down decides about one image only
    decided(item, index, KEYS[key], item.querySelector("select").value);
    focus(index + 1);
  } else return;
  event.preventDefault();
});
form.addEventListener("submit", async event => {
  event.preventDefault();
  try {
    await post("/api/audit", { data: form.elements.data.value });
    report(null);
    wasRunning = true;
    watch(byId("check"), showJob);
  } catch (error) {
    report(error);
  }
});
byId("check-stop").addEventListener("click", () => post("/api/stop", {}).catch(report));
form.elements.data.addEventListener("change", () => load().catch(report));
byId("check-write").addEventListener("click", async () => {
  try {
    await post("/api/audit/write", { data });
    report(null);
    watch(byId("check"), showJob);
  } catch (error) {
    report(error);
  }
});

export async function shown() {
  try {
    const { data: listed } = await get("/api/data");
    offer(form, listed);
    if (listed.length) await load();
  } catch (error) {
    report(error);
  }
  watch(byId("check"), showJob);
}
