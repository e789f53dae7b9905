// Learning curves as SVG, in the colors of the page.

import { draw, make } from "./dom.js";

const WIDTH = 420, HEIGHT = 240, LEFT = 46, BOTTOM = 30, TOP = 12, RIGHT = 84;

function ticks(low, high) {
  const step = [1, 2, 5].flatMap(n => [n * 10 ** Math.floor(Math.log10((high - low) / 4 || 1)), n * 10 ** Math.ceil(Math.log10((high - low) / 4 || 1))])
    .sort((a, b) => a - b).find(each => (high - low) / each <= 5) ?? 1;
  const found = [];
  for (let at = Math.ceil(low / step) * step; at <= high + 1e-9; at += step) found.push(at);
  return found;
}

// `series`: [{name, kind, values}], one value per epoch, null where there is none; `scale` fixes the vertical range.
export function chart(title, series, epochs, scale) {
  const known = series.flatMap(each => each.values).filter(value => value != null);
  if (!known.length) return null;
  const [low, high] = scale ?? [0, Math.max(...known) * 1.05 || 1];
  const last = Math.max(epochs, series[0].values.length, 2);
  const x = index => LEFT + (WIDTH - LEFT - RIGHT) * index / (last - 1);
  const y = value => TOP + (HEIGHT - TOP - BOTTOM) * (1 - (value - low) / (high - low));
  const svg = draw("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": title });
  for (const value of ticks(low, high)) {
    svg.append(draw("path", { class: "axis", d: `M${LEFT} ${y(value)}H${WIDTH - RIGHT}` }),
      draw("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, scale ? `${Math.round(100 * value)} %` : `${+value.toPrecision(2)}`));
  }
  for (const index of new Set([0, Math.round((last - 1) / 2), last - 1])) {
    svg.append(draw("text", { x: x(index), y: HEIGHT - 10, "text-anchor": "middle" }, `${index + 1}`));
  }
  const ends = [];
  for (const { name, kind, values } of series) {
    const points = values.map((value, index) => value == null ? null : [x(index), y(value)]).filter(Boolean);
    if (!points.length) continue;
    svg.append(draw("path", { class: `curve ${kind}`, d: `M${points.map(point => point.map(n => n.toFixed(1)).join(" ")).join("L")}` }),
      draw("circle", { class: kind, cx: points.at(-1)[0], cy: points.at(-1)[1], r: 3 }));
    let at = points.at(-1)[1] + 4;
    for (const other of ends) if (Math.abs(other - at) < 13) at = other + (at < other ? -13 : 13);
    ends.push(at);
    svg.append(draw("text", { class: kind, x: points.at(-1)[0] + 7, y: at }, name));
  }
  return make("figure", {}, svg, make("figcaption", {}, `${title} by epoch`));
}
