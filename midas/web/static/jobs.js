// The one job that may run: asked for once a second while it runs and someone looks.

import { get, report } from "./api.js";

const EVERY = 1000; // milliseconds
let timer = 0;
let latest = 0; // how often someone has begun to look

// Call `show(job)` now and while the job runs, as long as `section` is shown.
export async function watch(section, show) {
  clearTimeout(timer);
  if (section.hidden) return;
  const mine = ++latest;
  try {
    const job = await get("/api/job");
    if (mine !== latest) return;
    show(job);
    if (job.running) timer = setTimeout(() => watch(section, show), EVERY);
  } catch (error) {
    if (mine !== latest) return;
    report(error);
    timer = setTimeout(() => watch(section, show), 5 * EVERY);
  }
}
