// Train: start a training on a data set, watch its learning curve, stop it, and try the network.

import { get, post, report } from "./api.js";
import { chart } from "./curves.js";
import { byId, offer, percent } from "./dom.js";
import { watch } from "./jobs.js";
import { tryNetwork } from "./read.js";

const form = byId("train-form");
let job = null;
let isNameTyped = false;

function show(answer) {
  job = answer;
  const isTraining = answer.job?.kind === "train";
  byId("training").hidden = !isTraining;
  form.querySelector("button").disabled = answer.running;
  if (!isTraining) return;
  byId("train-name").textContent = answer.job.name;
  byId("train-state").textContent = sentence(answer);
  byId("train-progress").textContent = answer.running && !answer.progress.startsWith("epoch") ? answer.progress : "";
  const values = key => answer.epochs.map(each => each[key]);
  byId("curves").replaceChildren(...[
    chart("Accuracy", [{ name: "training", kind: "training", values: values("accuracy") },
      { name: "validation", kind: "validation", values: values("val_accuracy") }], answer.of ?? 0, [0, 1]),
    chart("Loss", [{ name: "training", kind: "training", values: values("loss") },
      { name: "validation", kind: "validation", values: values("val_loss") }], answer.of ?? 0),
  ].filter(Boolean));
  byId("train-stop").hidden = !answer.running;
  byId("train-resume").hidden = !answer.resumable;
  byId("train-try").hidden = !answer.network;
}

function sentence({ running, failure, finished, epochs, of, accuracy, scored }) {
  if (failure) return `It failed: ${failure}`;
  if (finished) return `Finished. Accuracy ${percent(accuracy)} (${scored}).`;
  const done = epochs.length ? `epoch ${epochs.length}${of ? ` of ${of}` : ""}` : "preparing";
  return running ? `Training: ${done}.` : `Stopped after ${epochs.length} epoch${epochs.length === 1 ? "" : "s"}. It can be resumed.`;
}

async function start(path, values) {
  try {
    await post(path, values);
    report(null);
    watch(byId("train"), show);
  } catch (error) {
    report(error);
  }
}

form.addEventListener("submit", event => {
  event.preventDefault();
  const { data, name, epochs } = Object.fromEntries(new FormData(form));
  start("/api/train", { data, name, epochs: epochs ? Number(epochs) : null });
});
form.elements.name.addEventListener("input", () => { isNameTyped = true; });
form.elements.data.addEventListener("change", suggest);
byId("train-stop").addEventListener("click", () => post("/api/stop", {}).catch(report));
byId("train-resume").addEventListener("click", () => start("/api/train/resume", {}));
byId("train-try").addEventListener("click", async () => {
  location.hash = "#read";
  await tryNetwork(job.network);
});

// Name the run after the data, unless a name was typed.
function suggest() {
  const last = form.elements.data.value.split(/[\\/]/).filter(Boolean).at(-1) ?? "";
  if (!isNameTyped) form.elements.name.value = last.replace(/\.[a-z]+$/i, "").replace(/[^\w.-]+/g, "-").slice(0, 60);
}

export async function shown() {
  try {
    const { data } = await get("/api/data");
    offer(form, data);
    suggest();
  } catch (error) {
    report(error);
  }
  watch(byId("train"), show);
}
