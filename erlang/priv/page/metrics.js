// The front's Prometheus text, read; rates and quantiles from two readings. No document in here.

const SAMPLE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/;
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g;
const ESCAPES = { n: "\n", '"': '"', "\\": "\\" };

const labelsOf = (text) => {
  const labels = {};
  for (const [, name, value] of (text ?? "").matchAll(LABEL)) {
    labels[name] = value.replace(/\\(.)/g, (_, c) => ESCAPES[c] ?? c);
  }
  return labels;
};

/** {name: [{labels, value}]} of an exposition. */
export const parse = (text) => {
  const families = {};
  for (const line of text.split("\n")) {
    const match = line.startsWith("#") ? null : SAMPLE.exec(line);
    if (!match) continue;
    const value = match[3] === "+Inf" ? Infinity : Number(match[3]);
    (families[match[1]] ??= []).push({ labels: labelsOf(match[2]), value });
  }
  return families;
};

const fits = (labels, wanted) => Object.entries(wanted).every(([k, v]) => labels[k] === v);

/** The sum of a family's samples that have these labels; undefined where there is none. */
export const total = (families, name, wanted = {}) => {
  const found = (families[name] ?? []).filter((s) => fits(s.labels, wanted));
  return found.length ? found.reduce((sum, s) => sum + s.value, 0) : undefined;
};

/** A cumulative histogram, the series with these labels added up: [[bound, count]]. */
export const histogram = (families, name, wanted = {}) => {
  const counts = new Map();
  for (const { labels, value } of families[`${name}_bucket`] ?? []) {
    if (!fits(labels, wanted)) continue;
    const bound = labels.le === "+Inf" ? Infinity : Number(labels.le);
    counts.set(bound, (counts.get(bound) ?? 0) + value);
  }
  return [...counts].sort(([a], [b]) => a - b);
};

/** What came between two readings of one histogram. */
export const between = (older, newer) => {
  const before = new Map(older);
  return newer.map(([bound, count]) => [bound, Math.max(0, count - (before.get(bound) ?? 0))]);
};

/** The q-quantile in the unit of the bounds, by the bucket it falls into; undefined if empty. */
export const quantile = (buckets, q) => {
  const count = buckets.at(-1)?.[1] ?? 0;
  if (count === 0) return undefined;
  const rank = q * count;
  let low = 0;
  let seen = 0;
  for (const [bound, upTo] of buckets) {
    if (upTo >= rank) {
      // Nothing is known of a value above the last bound but that.
      return bound === Infinity ? low : low + (bound - low) * ((rank - seen) / (upTo - seen || 1));
    }
    [low, seen] = [bound, upTo];
  }
  return low;
};

/** How much a counter rose per second; a counter that fell was set to zero with its process. */
export const rate = (older, newer, seconds) =>
  older === undefined || newer === undefined || newer < older || seconds <= 0
    ? undefined
    : (newer - older) / seconds;
