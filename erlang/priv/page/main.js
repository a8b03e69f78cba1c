// The page's loop: asks the front every two seconds while somebody looks, and shows the answers.
import { Refused, cluster, exposition, setKey } from "./client.js";
import { byId, say, show } from "./format.js";
import { History } from "./history.js";
import { showState, showTotals } from "./totals.js";
import { offerModels, startForms } from "./try.js";
import { modelsOf, showModels, showWorkers } from "./workers.js";

const PAUSE_MS = 2000;
const history = new History();
let keyGiven = false;

const look = async () => {
  const [seen, text] = await Promise.all([cluster(), exposition()]);
  history.add(seen, text);
  showState(seen);
  showTotals(history);
  showWorkers(seen.gpu_nodes, history);
  showModels(seen.gpu_nodes);
  offerModels(modelsOf(seen.gpu_nodes).map((model) => model.name));
  show("key", false);
  show("main", true);
  show("trouble", false);
  say("seen", `as of ${new Date().toLocaleTimeString()}`);
};

const askForKey = () => {
  say("state", "key needed");
  byId("state").className = "pill some";
  show("main", false);
  show("trouble", false);
  show("key", true);
  say("key-wrong", "the front does not know this key");
  show("key-wrong", keyGiven);
};

const inTrouble = (error) => {
  if (error instanceof Refused && error.status === 401) return askForKey();
  const why = error instanceof Refused ? error.message : "the front does not answer";
  say("trouble", `Not up to date: ${why}; trying again.`);
  show("trouble", true);
  if (!history.last) return;
  say("state", "front unreachable");
  byId("state").className = "pill none";
};

const pause = () => new Promise((done) => { setTimeout(done, PAUSE_MS); });

const visible = () => new Promise((done) => {
  if (!document.hidden) return done();
  document.addEventListener("visibilitychange", () => done(), { once: true });
});

/** Ends when a key is needed; the form starts it again. */
const watch = async () => {
  for (;;) {
    await visible();
    try {
      await look();
    } catch (error) {
      inTrouble(error);
      if (error instanceof Refused && error.status === 401) return;
    }
    await pause();
  }
};

byId("key").addEventListener("submit", (event) => {
  event.preventDefault();
  setKey(byId("key-value").value);
  byId("key-value").value = "";
  keyGiven = true;
  watch();
});

startForms();
watch();
