// The tabs of the page; each part sets itself up once, and is told when it is shown.

import { report } from "./api.js";
import * as check from "./check.js";
import * as collect from "./collect.js";
import * as read from "./read.js";
import * as train from "./train.js";

const parts = { read, collect, train, check };

function show() {
  const name = location.hash.slice(1) in parts ? location.hash.slice(1) : "read";
  for (const key of Object.keys(parts)) document.getElementById(key).hidden = key !== name;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  report(null);
  parts[name].shown();
}

addEventListener("hashchange", show);
show();
