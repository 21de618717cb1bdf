// What has happened, as it happens, and what needs attention.

const KINDS = {
  health: ["health", (kind) => kind.startsWith("health_") || kind.startsWith("panic_")],
  operators: ["operators", (kind) => /^(region|drill|operator)_/.test(kind)],
  configuration: ["configuration and data", (kind) => /^(config|geo|service_tags)_/.test(kind)],
  certificates: ["certificates", (kind) => /^(tls|upstream_tls|certificate)_/.test(kind)],
  plugins: ["plugins", (kind) => kind.startsWith("plugin_")],
  others: ["others", () => true],
};
const BAD = /_(rejected|rolled_back|suspended|quarantined|expired)$|^panic_began$/;
const GOOD = /_(accepted|active|undrained|on|tried)$|^panic_ended$/;
const SHOWN = 200;

const events = { since: 0, list: [], hidden: new Set() };

const familyOf = (kind) => Object.keys(KINDS).find((family) => KINDS[family][1](kind));

// Waits for events as long as the page is open.
async function follow() {
  for (;;) {
    try {
      const { latest, events: more } = await ask(`api/v1/events?since=${events.since}${events.since ? "&wait=25s" : ""}`);
      // An instance that was started anew begins at 1.
      if (latest < events.since) events.list = [];
      events.since = latest;
      events.list.push(...more);
      events.list.splice(0, events.list.length - 1000);
      if (more.length) showEvents();
      if (!latest) await new Promise((done) => setTimeout(done, PERIOD));
    } catch {
      await new Promise((done) => setTimeout(done, 2 * PERIOD));
    }
  }
}

function tone({ kind, reason = "", result = "" }) {
  if (kind === "operator_action") return result.startsWith("refused") ? "bad" : "good";
  if (kind === "health_changed") return reason.includes("→ unhealthy") ? "bad" : reason.includes("→ healthy") ? "good" : "warn";
  return BAD.test(kind) ? "bad" : GOOD.test(kind) ? "good" : "warn";
}

function showEvents() {
  const counts = {};
  for (const { kind } of events.list) counts[familyOf(kind)] = (counts[familyOf(kind)] ?? 0) + 1;
  render(byId("event-kinds"), ...Object.entries(KINDS).filter(([family]) => counts[family]).map(([family, [name]]) => {
    const toggle = () => {
      if (!events.hidden.delete(family)) events.hidden.add(family);
      showEvents();
    };
    const isShown = !events.hidden.has(family);
    return make("button", { type: "button", className: "chip", "aria-pressed": String(isShown), onclick: toggle }, `${name} ${counts[family]}`);
  }));
  const shown = events.list.filter(({ kind }) => !events.hidden.has(familyOf(kind))).slice(-SHOWN).reverse();
  render(byId("events-list"), ...(shown.length ? shown.map((event) => make("li", {},
    make("time", { dateTime: event.time, title: event.time }, new Date(event.time).toLocaleTimeString()),
    make("div", {},
      make("span", { className: `pill ${tone(event)}` }, event.kind.replaceAll("_", " ")), " ",
      make("b", {}, event.subject ?? ""), event.digest ? make("code", { title: event.digest }, ` ${short(event.digest)}`) : null,
      event.author ? make("span", { className: "author" }, ` by ${event.author}`) : null,
      event.reason || event.result ? make("p", {}, [event.reason, event.result].filter((it) => it).join(" · ")) : null))) : [make("li", { className: "empty" }, "Nothing has happened yet.")]));
}

// Where the page shows what an item is about.
function sectionOf(kind) {
  if (kind.startsWith("plugin_")) return "plugins-section";
  if (kind.startsWith("front_door")) return "front-door";
  if (/^(panic|region|isolated)/.test(kind)) return "regions-section";
  return "loads-section";
}

function showAttention({ items }) {
  const badge = byId("badge");
  const errors = items.filter((item) => item.level === "error").length;
  badge.hidden = false;
  badge.className = `pill ${errors ? "bad" : items.length ? "warn" : "good"}`;
  badge.textContent = items.length ? `${items.length} ${items.length > 1 ? "need" : "needs"} attention` : "nothing needs attention";
  document.title = items.length ? `(${items.length}) Portolan` : "Portolan";
  byId("attention").hidden = items.length === 0;
  render(byId("attention-list"), ...items.map((item) => make("li", {},
    make("span", { className: `pill ${item.level === "error" ? "bad" : "warn"}` }, item.kind.replaceAll("_", " ")),
    make("p", {}, item.text, item.since ? make("small", {}, ` since ${new Date(item.since).toLocaleString()}, ${ago(item.since)}`) : null),
    make("a", { href: `#${sectionOf(item.kind)}` }, "Show", make("span", { className: "aside" }, ` what ${item.kind.replaceAll("_", " ")} is about`)))));
}
