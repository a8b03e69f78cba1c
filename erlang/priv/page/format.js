// Numbers and nodes of the document as people read them.

export const byId = (id) => document.getElementById(id);

export const say = (id, text) => {
  const element = byId(id);
  if (element.textContent !== text) element.textContent = text;
};

export const show = (id, visible) => { byId(id).hidden = !visible; };

/** An element with text; text never becomes markup. */
export const element = (tag, text = "", className = "") => {
  const made = document.createElement(tag);
  made.textContent = text;
  if (className) made.className = className;
  return made;
};

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });

const known = (value) => typeof value === "number" && Number.isFinite(value);

export const count = (value) => (known(value) ? whole.format(value) : "–");
export const figure = (value) =>
  known(value) ? (value >= 100 ? whole : short).format(value) : "–";

export const percent = (value) => (known(value) ? `${Math.round(value * 100)} %` : "–");

export const seconds = (value) => {
  if (!known(value)) return "–";
  if (value >= 1e6) return "refuses work";
  return value < 1 ? `${short.format(value * 1000)} ms` : `${short.format(value)} s`;
};

export const bytes = (value) => {
  if (!known(value)) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const step = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(1, value)) / 10));
  return `${short.format(value / 1024 ** step)} ${units[step]}`;
};
