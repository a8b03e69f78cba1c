// The last two minutes of readings: what the rates and the line are made from.
import { between, histogram, parse, quantile, rate, total } from "./metrics.js";

const KEEP_MS = 120_000;
// Rates over less than this jump about.
const WINDOW_MS = 15_000;

const SECONDS = "ml_cluster_http_request_seconds";
const WORKER_SECONDS = "ml_cluster_worker_seconds";
// What costs work; a page that looks at the cluster should not make its latency look better.
const ROUTES = ["/infer", "/infer/parallel", "/v1/embeddings", "/embed", "/rerank", "/predict"];

const textsOf = (worker) => worker.queue && worker.cache
  ? worker.queue.texts + worker.cache.hits : undefined;

const latencies = (families) => {
  const merged = new Map();
  for (const route of ROUTES) {
    for (const [bound, value] of histogram(families, SECONDS, { route })) {
      merged.set(bound, (merged.get(bound) ?? 0) + value);
    }
  }
  return [...merged].sort(([a], [b]) => a - b);
};

export class History {
  #readings = [];

  add(cluster, exposition) {
    const now = performance.now();
    const families = parse(exposition);
    this.#readings.push({ at: now, families, latencies: latencies(families),
                          workers: new Map(cluster.gpu_nodes.map((w) => [w.node, w])) });
    this.#readings = this.#readings.filter((r) => now - r.at <= KEEP_MS);
  }

  get last() { return this.#readings.at(-1); }

  /** The reading that rates are counted from: the window's first, or the first there is. */
  get #base() {
    return this.#readings.find((r) => this.last.at - r.at <= WINDOW_MS) ?? this.#readings[0];
  }

  get #seconds() { return (this.last.at - this.#base.at) / 1000; }

  total(name, labels) { return total(this.last.families, name, labels); }

  rate(name, labels) {
    return rate(total(this.#base.families, name, labels), this.total(name, labels), this.#seconds);
  }

  /** {median, worst} in seconds, of the window's requests, else of all since the start. */
  latency() { return spread(this.#base.latencies, this.last.latencies); }

  workerLatency(worker) {
    const read = ({ families }) => histogram(families, WORKER_SECONDS, { worker });
    return spread(read(this.#base), read(this.last));
  }

  /** Texts a second of one worker, its cache included. */
  workerRate(node) {
    const [old, young] = [this.#base.workers.get(node), this.last.workers.get(node)];
    return old && young ? rate(textsOf(old), textsOf(young), this.#seconds) : undefined;
  }

  /** Rates between neighbouring readings: the line. */
  line(name) {
    return this.#readings.slice(1).map((young, i) => {
      const old = this.#readings[i];
      const rose = rate(total(old.families, name), total(young.families, name),
                        (young.at - old.at) / 1000);
      return rose ?? 0;
    });
  }
}

const spread = (older, newer) => {
  const recent = between(older, newer);
  const buckets = (recent.at(-1)?.[1] ?? 0) > 0 ? recent : newer;
  return { median: quantile(buckets, 0.5), worst: quantile(buckets, 0.99),
           recent: buckets === recent };
};
