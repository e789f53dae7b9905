// Requests to the server; each answers with JSON, an error with one line.

export class Refusal extends Error {
  constructor(status, message) { super(message); this.status = status; }
}

async function ask(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Refusal(0, "The server does not answer. Is midas serve still running?");
  }
  const answer = await response.json().catch(() => ({ error: `The server answered ${response.status}.` }));
  if (!response.ok) throw new Refusal(response.status, answer.error);
  return answer;
}

export const get = path => ask(path);

export const post = (path, body) => ask(path, body instanceof FormData
  ? { method: "POST", body }
  : { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" } });

// Show a failure below the page, until something else is done.
export function report(error) {
  const banner = document.getElementById("failure");
  banner.hidden = !error;
  banner.textContent = error ? error.message : "";
}
