// Small helpers to build elements.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter(child => child != null));
  return element;
}

export const make = (name, attributes = {}, ...children) => fill(document.createElement(name), attributes, children);
export const draw = (name, attributes = {}, ...children) => fill(document.createElementNS(SVG, name), attributes, children);
// Let a form choose among data sets; where there are none, the paragraph after it says what to do.
export function offer(form, data) {
  const select = form.elements.data;
  const before = select.value;
  select.replaceChildren(...data.map(each => make("option", { value: each.name }, each.name)));
  if (before) select.value = before;
  form.hidden = !data.length;
  form.nextElementSibling.hidden = !form.hidden;
}

export const byId = id => document.getElementById(id);
export const percent = share => `${(100 * share).toFixed(1)} %`;
