// What Front Door is told: who leads, what the vantages say, what its origins are and should be, what probes are answered.

const MODES = { off: "probes only", "dry-run": "dry run", apply: "applying" };
const INTENTS = { baseline: "good", demoted: "bad", drained: "off" };

function showFrontDoor(view) {
  byId("front-door").hidden = byId("front-door-link").hidden = !view;
  if (!view) return;
  const pill = (text, tone) => make("span", { className: `pill ${tone}` }, text);
  const described = view.front_door != null;
  const facts = [pill(MODES[view.mode] ?? view.mode, view.mode === "apply" ? "good" : "off")];
  if (described) facts.unshift(make("b", {}, view.front_door));
  if (described && view.mode !== "off") {
    const quorate = view.votes_live >= view.votes_needed;
    facts.push(pill(`${view.votes_live} of ${view.vantages.length} vote, ${view.votes_needed} are needed`, quorate ? "good" : "bad"));
    facts.push(view.leads ? pill("this instance leads", "good") : `${view.leader ?? "no instance"} leads`, `epoch ${view.epoch}`);
  }
  render(byId("front-door-head"), make("p", { className: "facts" }, ...facts),
    ...(view.alerts ?? []).map((alert) => make("p", { className: "trouble" }, `${alert.code}: ${alert.text}`)));
  showOrigins(view, described, pill);
  render(byId("front-door-rest"), ...underneath(view));
}

// One row for each region of each service: what its probes are answered, and its origin where it has one.
function showOrigins(view, described, pill) {
  const origin = (service, region) => (service === view.service ? view.regions.find((it) => it.region === region) : null);
  const body = view.probes.services.map((service) => make("tbody", {},
    make("tr", { className: "service" },
      make("th", { colSpan: described ? 6 : 2, scope: "rowgroup" }, make("b", {}, service.service), `  probes ${service.status}, ${service.reason}`)),
    ...service.regions.map((region) => make("tr", {},
      make("td", {}, region.region),
      make("td", {}, pill(String(region.status), region.status === 200 ? "good" : "bad"), ` ${region.reason}`),
      ...(described ? originCells(origin(service.service, region.region), pill) : [])))));
  const titles = ["region", "probes", ...(described ? ["origin", "should be", "is", "votes"] : [])];
  render(byId("front-door-regions"),
    make("thead", {}, make("tr", {}, ...titles.map((title) => make("th", {}, title)))), ...body);
}

function originCells(region, pill) {
  if (!region) return [make("td", {}, "–"), make("td"), make("td"), make("td")];
  const members = (it) => (it ? `priority ${it.priority ?? "–"}, weight ${it.weight ?? "–"}${it.enabled === false ? ", disabled" : ""}` : "–");
  return [
    make("td", {}, region.origin),
    make("td", {}, pill(region.intent, INTENTS[region.intent] ?? "off"), region.held ? make("small", {}, region.held) : null),
    make("td", {}, members(region.observed)),
    make("td", {}, `${region.unhealthy.votes} bad, ${region.healthy.votes} well`),
  ];
}

function underneath(view) {
  const ago = (seconds) => `${compact(Math.round(seconds))} s ago`;
  const lines = [];
  if (view.pending) {
    lines.push(make("p", { className: "reason" }, make("b", {}, "Under way "),
      `for ${compact(Math.round(view.pending.age_s))} s: ${view.pending.changes.join(", ")}`));
  }
  if (view.plan) lines.push(make("pre", {}, view.plan.trimEnd()));
  const votes = (view.vantages ?? []).map((it) => `${it.vantage} ${it.age_s == null ? "has not voted" : ago(it.age_s)}${it.live ? "" : ", does not count"}`);
  if (votes.length > 1) lines.push(make("p", { className: "note" }, `Votes: ${votes.join(" · ")}`));
  if (view.last_error) lines.push(make("p", { className: "note" }, `Last error ${ago(view.last_error.age_s)}: ${view.last_error.text}`));
  for (const warning of view.warnings ?? []) lines.push(make("p", { className: "note" }, warning));
  return lines;
}
