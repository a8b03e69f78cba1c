// Requests to the front that served the page, wherever it is mounted. The API key lives in here
// and nowhere else: not in storage, not in the address.

let key = "";

export const setKey = (value) => { key = value; };

/** What the front answered instead of what was asked for. */
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

const messageOf = (status, text) => {
  try {
    return JSON.parse(text).error.message;
  } catch {
    return `the front answered with status ${status}`;
  }
};

const ask = async (path, { accept = "application/json", body, seconds = 30 } = {}) => {
  const headers = { accept };
  if (key) headers.authorization = `Bearer ${key}`;
  if (body !== undefined) headers["content-type"] = "application/json";
  const answer = await fetch(new URL(path, document.baseURI), {
    method: body === undefined ? "GET" : "POST",
    headers,
    body: body === undefined ? undefined : JSON.stringify(body),
    cache: "no-store",
    credentials: "same-origin",
    signal: AbortSignal.timeout(seconds * 1000),
  });
  const text = await answer.text();
  if (!answer.ok) throw new Refused(answer.status, messageOf(answer.status, text));
  return text;
};

export const cluster = async () => JSON.parse(await ask("cluster", { seconds: 10 }));
export const exposition = () => ask("metrics", { accept: "text/plain", seconds: 10 });
export const embed = async (texts, model) =>
  JSON.parse(await ask("infer", { body: { texts, model } }));
