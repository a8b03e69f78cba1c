// The tiles on top, and the words beside the title.
import { byId, count, figure, percent, say, seconds } from "./format.js";

const TEXTS = "ml_cluster_texts_total";
const CALLS = "ml_cluster_calls_total";

const errors = (history) => history.total(CALLS, { served: "error" });

const perSecond = (rate) => (rate === undefined ? "–" : `${figure(rate)} /s`);

const showTexts = (history) => {
  say("texts-rate", perSecond(history.rate(TEXTS)));
  say("texts-note", `${count(history.total(TEXTS))} in all`);
  const rates = history.line(TEXTS);
  const top = Math.max(1, ...rates);
  const step = 120 / Math.max(1, rates.length - 1);
  const points = rates.map((r, i) => `${(i * step).toFixed(1)},${(23 - 21 * (r / top)).toFixed(1)}`);
  byId("texts-line").firstElementChild.setAttribute("points", points.join(" "));
};

const showLatency = (history) => {
  const { median, worst, recent } = history.latency();
  say("latency", seconds(median));
  const since = recent ? "last 15 s" : "since the start";
  say("latency-note", median === undefined ? "no request yet" : `99 %: ${seconds(worst)}, ${since}`);
};

const showCalls = (history) => {
  say("calls-rate", perSecond(history.rate(CALLS)));
  say("calls-note", `${count(history.total(CALLS))} in all`);
};

const showCached = (history) => {
  const cached = history.total("ml_cluster_texts_cached_total");
  const texts = history.total(TEXTS);
  say("cached", texts > 0 ? percent(cached / texts) : "–");
  say("cached-note", `${count(cached)} of ${count(texts)} texts`);
};

const showErrors = (history) => {
  say("errors", count(errors(history)));
  const all = history.total(CALLS);
  say("errors-note", all > 0 ? `${figure((100 * errors(history)) / all)} % of the calls` : "");
};

export const showTotals = (history) => {
  showTexts(history);
  showLatency(history);
  showCalls(history);
  showCached(history);
  showErrors(history);
};

export const showState = ({ this_node: node, gpu_nodes: workers }) => {
  const up = workers.filter((worker) => worker.state === "up").length;
  say("where", node);
  say("state", workers.length ? `${up} of ${workers.length} workers up` : "no worker");
  byId("state").className =
    `pill ${up === 0 ? "none" : up < workers.length ? "some" : "up"}`;
};
