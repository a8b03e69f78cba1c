// The tables of workers and models. Rows are kept and changed, so that a selection in them lives
// through a refresh.
import { byId, bytes, count, element, figure, percent, seconds, show } from "./format.js";

const body = (id) => byId(id).tBodies[0];

/** A row per key in the order given; `fill` writes a row's cells. */
const keepRows = (table, items, keyOf, fill) => {
  const rows = new Map([...body(table).rows].map((row) => [row.dataset.key, row]));
  for (const item of items) {
    const key = keyOf(item);
    const row = rows.get(key) ?? element("tr");
    rows.delete(key);
    row.dataset.key = key;
    fill(row, item);
    body(table).append(row);
  }
  for (const gone of rows.values()) gone.remove();
};

/** Cells by label; a cell is a text or a list of elements. */
const setCells = (row, cells) => {
  Object.entries(cells).forEach(([label, content], i) => {
    const cell = row.cells[i] ?? row.appendChild(element("td"));
    cell.dataset.label = label;
    if (Array.isArray(content)) cell.replaceChildren(...content);
    else if (cell.textContent !== content) cell.textContent = content;
  });
};

const about = (worker) => {
  if (worker.error) return worker.error;
  const names = worker.model?.loaded_models ?? [];
  return [...(worker.role === "local" ? ["on this machine"] : []), ...names].join(", ");
};

const named = (worker) => [element("span", worker.node), element("small", about(worker))];

const state = (worker) => [element("span", worker.state, `pill ${worker.state}`)];

const hits = (cache) => {
  if (!cache) return "–";
  return [element("span", percent(cache.hit_rate)),
          element("small", `${count(cache.entries)} kept, ${bytes(cache.bytes)}`)];
};

const latency = ({ median, worst }) => median === undefined ? "–"
  : [element("span", seconds(median)), element("small", `99 %: ${seconds(worst)}`)];

const failed = (history, worker) =>
  count(history.total("ml_cluster_worker_attempts_total", { worker, outcome: "failed" }));

const fillWorker = (history) => (row, worker) => setCells(row, {
  Worker: named(worker),
  State: state(worker),
  Load: worker.state === "up" ? seconds(worker.load) : "–",
  "In flight": count(worker.in_flight),
  "Texts/s": figure(history.workerRate(worker.node)),
  Latency: latency(history.workerLatency(worker.node)),
  "Cache hits": hits(worker.cache),
  Memory: bytes(worker.memory?.rss_bytes),
  Failed: failed(history, worker.node),
});

/** Models by name: what their workers say of them, and on how many they are. */
export const modelsOf = (workers) => {
  const models = new Map();
  for (const { model, state: now } of workers) {
    if (!model || now !== "up") continue;
    for (const detail of model.details ?? []) {
      const seen = models.get(detail.name) ?? { ...detail, aliases: [], workers: 0 };
      seen.workers += 1;
      seen.aliases = Object.entries(model.aliases ?? {})
        .filter(([, name]) => name === detail.name).map(([alias]) => alias).sort();
      models.set(detail.name, seen);
    }
  }
  return [...models.values()].sort((a, b) => a.name.localeCompare(b.name));
};

const fillModel = (row, model) => setCells(row, {
  Model: model.name,
  Dimensions: count(model.dimensions),
  Tokens: count(model.max_tokens),
  "Also called": model.aliases.join(", ") || "–",
  Workers: count(model.workers),
});

export const showWorkers = (workers, history) => {
  show("no-workers", workers.length === 0);
  show("workers", workers.length > 0);
  keepRows("workers", workers, (worker) => worker.node, fillWorker(history));
};

export const showModels = (workers) =>
  keepRows("models", modelsOf(workers), (model) => model.name, fillModel);
