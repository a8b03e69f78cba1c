// The two forms: one text to its vector, two texts to their cosine.
import { embed } from "./client.js";
import { byId, element, figure, say, show } from "./format.js";

const dot = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0);
export const cosine = (a, b) => dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));

/** Runs a form's request with its button held, and shows either the answer or what went wrong. */
const onSubmit = (name, act) => byId(name).addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = event.submitter ?? byId(name).querySelector("button");
  button.disabled = true;
  try {
    await act();
    show(`${name}-answer`, true);
    show(`${name}-wrong`, false);
  } catch (error) {
    say(`${name}-wrong`, error.message);
    show(`${name}-wrong`, true);
    show(`${name}-answer`, false);
  } finally {
    button.disabled = false;
  }
});

const model = () => byId("try-model").value || "default";

/** The vector as a strip: one column a number, below zero in one colour, above in another. */
const paint = (vector) => {
  const canvas = byId("try-strip");
  canvas.width = vector.length;
  const context = canvas.getContext("2d");
  const most = Math.max(...vector.map(Math.abs)) || 1;
  vector.forEach((x, i) => {
    const share = Math.abs(x) / most;
    context.fillStyle = `rgba(${x < 0 ? "190, 110, 60" : "47, 111, 98"}, ${share.toFixed(3)})`;
    context.fillRect(i, 0, 1, canvas.height);
  });
};

const tryOne = async () => {
  const began = performance.now();
  const { embeddings: [vector], node, cached } = await embed([byId("try-text").value], model());
  const took = performance.now() - began;
  say("try-note", `${vector.length} numbers from ${node} in ${figure(took)} ms` +
      (cached ? ", from its cache" : ""));
  paint(vector);
  say("try-vector", `[${vector.join(", ")}]`);
};

const compareTwo = async () => {
  const { embeddings: [a, b] } =
    await embed([byId("compare-a").value, byId("compare-b").value], model());
  const similarity = cosine(a, b);
  say("compare-figure", similarity.toFixed(4));
  byId("compare-meter").value = Math.max(0, similarity);
};

/** The models to choose from; the choice made stays. */
export const offerModels = (names) => {
  const select = byId("try-model");
  const wanted = ["default", ...names];
  if ([...select.options].map((o) => o.value).join("\n") === wanted.join("\n")) return;
  const chosen = select.value;
  select.replaceChildren(...wanted.map((name) => element("option", name)));
  select.value = wanted.includes(chosen) ? chosen : "default";
};

export const startForms = () => {
  onSubmit("try", tryOne);
  onSubmit("compare", compareTwo);
};
