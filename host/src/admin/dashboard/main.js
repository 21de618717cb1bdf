// Polls the instance and shows its status.

const PERIOD = 2000;
const WINDOW = 3;
const TONES = { healthy: "good", unknown: "off", warming: "warn", unhealthy: "bad", draining: "off" };
const FAILED = ["5xx", "cut_short"];
const OURS = ["full", "draining", "shed", "not_repeatable", "not_in_retry_on", "attempts_exhausted", "retry_budget_exhausted",
  "request_timeout", "unresponsive", "internal"];

const histories = new Map();
const chart = new Chart(byId("chart"));
let [latest, mapped] = [null, null];

const history = (key) => {
  if (!histories.has(key)) histories.set(key, new History(61));
  return histories.get(key);
};

function trouble(error) {
  const box = byId("trouble");
  box.hidden = !error;
  box.textContent = error ?? "";
}

async function poll() {
  if (!document.hidden) {
    try {
      const [regions, plugins, ready] = await Promise.all([ask("api/v1/regions"), ask("api/v1/plugins"), ask("readyz")]);
      latest = regions;
      showReady(ready);
      showServices(regions);
      showPlugins(plugins.plugins);
      showFrontDoor(ready.front_door && await ask("api/v1/front-door"));
      await showMap(regions);
    } catch (error) {
      const pill = byId("ready");
      [pill.textContent, pill.className] = ["no answer", "pill bad"];
      console.error(error);
    }
  }
  setTimeout(poll, PERIOD);
}

function showReady({ ready, status, loads, generation, geo }) {
  const pill = byId("ready");
  pill.textContent = status.replace("_", " ");
  pill.className = `pill ${ready ? "good" : "warn"}`;
  byId("generation").textContent = generation;
  render(
    byId("loads"),
    ...loads.map((load) =>
      make("div", { className: "entry" },
        make("b", {}, load.what),
        make("p", {}, load.last_accepted ? `since ${new Date(load.last_accepted).toLocaleString()}` : "since the start",
          load.rejected ? `, ${load.rejected} rejected` : ""),
        load.what === "geo" ? make("p", {}, data(geo)) : null,
        load.error ? make("p", { className: "fault" }, load.error) : null)),
  );
  byId("attribution").textContent = geo.attribution && !geo.attribution.includes("DB-IP") ? geo.attribution : "";
}

function data({ database, built, networks }) {
  const days = built && Math.floor((Date.now() - new Date(built)) / 86_400_000);
  return `${database}, ${networks.toLocaleString()} networks${built ? `, built ${days} days ago` : ""}`;
}

function showServices({ services }) {
  let [rate, failed, requests] = [0, 0, 0];
  const bodies = services.map((service) => {
    const ours = history(service.service);
    ours.push({ at: Date.now(), requests: sum(service.unanswered), failed: of(service.unanswered, OURS) });
    const rows = service.regions.map((region, index) => regionRow(service, region, index));
    for (const it of [ours, ...service.regions.map((region) => history(`${service.service}/${region.region}`))]) {
      const recent = it.recent(WINDOW);
      if (!recent) continue;
      rate += (recent.now.requests - recent.then.requests) / recent.seconds;
      requests += recent.now.requests - recent.then.requests;
      failed += recent.now.failed - recent.then.failed;
    }
    return make("tbody", {},
      make("tr", { className: "service" }, make("th", { colSpan: 9, scope: "rowgroup" }, make("b", {}, service.service),
        `  by ${service.policy}`, service.panic ? "  · panic mode: all unhealthy, health is ignored" : "")),
      ...rows);
  });
  const head = make("thead", {}, make("tr", {},
    ...["region", "state", "share"].map((title) => make("th", {}, title)),
    ...["requests/s", "failed", "p50", "p95", "in flight"].map((title) => make("th", { className: "number" }, title)),
    make("th")));
  render(byId("services"), head, ...bodies);
  byId("rate").textContent = compact(rate);
  byId("failed").textContent = requests ? `${((100 * failed) / requests).toFixed(failed ? 2 : 0)} %` : "–";
}

function regionRow(service, region, index) {
  const it = history(`${service.service}/${region.region}`);
  it.push({
    at: Date.now(),
    requests: sum(region.answered),
    failed: of(region.answered, FAILED),
    firstByte: region.first_byte,
  });
  const recent = it.recent(WINDOW);
  const requests = recent && recent.now.requests - recent.then.requests;
  const failed = recent && recent.now.failed - recent.then.failed;
  const at = (share) => recent && quantile(recent.now.firstByte, recent.then.firstByte, share);
  const share = region.excluded ? 0 : Math.round(region.share * 100);
  const drained = region.state === "draining";
  const number = (...children) => make("td", { className: "number" }, ...children);
  return make("tr", { className: region.excluded ? "excluded" : "", style: { "--tint": tint(index) } },
    make("td", {}, make("span", { className: "swatch" }), region.region, make("small", {}, region.gateway, away(region.round_trip))),
    make("td", {}, make("span", { className: `pill ${TONES[region.state] ?? "off"}` }, region.state),
      region.excluded && region.excluded !== region.state ? ` ${region.excluded}` : null),
    make("td", {}, make("span", { className: "bar" }, make("i", { style: { width: `${share}%` } })), `${share} %`),
    number(sparkline(it.rates()), make("span", { className: "rate" }, recent ? compact(requests / recent.seconds) : "–")),
    number(requests ? `${((100 * failed) / requests).toFixed(failed ? 1 : 0)} %` : "–"),
    number(milliseconds(at(0.5))),
    number(milliseconds(at(0.95))),
    number(String(region.in_flight)),
    number(make("button", { type: "button", onclick: () => order(region.region, drained) }, drained ? "Bring back" : "Drain")));
}

function away(trip) {
  return trip?.measured_ms == null ? "" : ` · ${trip.measured_ms.toFixed(1)} ms away`;
}

async function order(region, drained) {
  const question = drained
    ? `Bring ${region} back? Its traffic is ramped up.`
    : `Drain ${region}? It gets no new requests; those that run are finished.`;
  if (!confirm(question)) return;
  await ordered(`api/v1/regions/${encodeURIComponent(region)}/${drained ? "undrain" : "drain"}`);
}

async function ordered(path) {
  try {
    await ask(path, "POST");
    trouble(null);
  } catch (error) {
    trouble(error.message);
  }
}

function showPlugins(plugins) {
  const entries = plugins.map((plugin) => {
    const faults = Object.entries(plugin.faults).map(([fault, count]) => `${count} ${fault}`);
    const back = () => {
      const question = plugin.rollout
        ? `End the rollout of version ${plugin.rollout.digest.slice(0, 12)} of ${plugin.plugin}?`
        : `Make version ${plugin.earlier.slice(0, 12)} of ${plugin.plugin} active?`;
      if (confirm(question)) {
        ordered(`api/v1/plugins/${encodeURIComponent(plugin.plugin)}/rollback`);
      }
    };
    return make("div", { className: "entry" },
      make("div", {}, make("b", {}, plugin.plugin), " ", make("code", { title: plugin.digest }, plugin.digest.slice(0, 19))),
      make("p", {}, `${plugin.source} · ${plugin.services.length ? `for ${plugin.services.join(", ")}` : "used by no service"} · ${compact(plugin.answers)} answers`),
      ...rollout(plugin),
      plugin.earlier || plugin.rollout ? make("button", { type: "button", onclick: back }, "Roll back") : null,
      faults.length || plugin.repaired
        ? make("p", { className: "fault" }, [...faults, ...(plugin.repaired ? [`${plugin.repaired} repaired`] : [])].join(" · "))
        : null);
  });
  render(byId("plugins"), ...(entries.length ? entries : [make("p", { className: "empty" }, "None: built-in policies decide.")]));
}

/** What stands against the configured version, and the version that is being rolled out. */
function rollout(plugin) {
  const line = (text, className = "") => make("p", { className }, text);
  const because = (ordered) => `since ${ordered.since} by ${ordered.from}${ordered.reason ? `: ${ordered.reason}` : ""}`;
  const lines = [];
  if (plugin.off) lines.push(line(`off ${because(plugin.off)}: the built-in policy decides`, "fault"));
  if (plugin.rolled_back) lines.push(line(`rolled back from ${plugin.rolled_back.configured.slice(0, 12)} ${because(plugin.rolled_back)}`, "fault"));
  if (plugin.deployed) lines.push(line(`deployed ${because(plugin.deployed)}`));
  const trial = plugin.rollout;
  if (trial) {
    const share = trial.stage === "canary" ? ` ${trial.share_percent} %` : "";
    const faults = Object.entries(trial.candidate.faults).map(([fault, count]) => `${count} ${fault}`);
    const parts = [
      `${compact(trial.candidate.calls)} calls of ${trial.candidate.cost_us.toFixed(1)} µs (active ${trial.active.cost_us.toFixed(1)} µs)`,
      ...faults,
      trial.shadow ? `${trial.shadow.differ_percent.toFixed(1)} % to another region` : `${trial.candidate.failures} of ${compact(trial.candidate.requests)} requests failed`,
    ];
    lines.push(make("p", {}, make("b", {}, trial.stage + share), " ", make("code", { title: trial.digest }, trial.digest.slice(0, 19)), ` ${parts.join(" · ")}`));
  }
  for (const [digest, ordered] of Object.entries(plugin.suspended ?? {})) lines.push(line(`suspended ${digest.slice(0, 12)} ${because(ordered)}`));
  return lines;
}

async function showMap({ services, generation }) {
  const select = byId("service");
  const names = services.map((service) => service.service);
  if (names.join() !== [...select.options].map((option) => option.value).join()) {
    select.replaceChildren(...names.map((name) => make("option", {}, name)));
    select.hidden = names.length < 2;
  }
  const wanted = `${generation} ${select.value}`;
  if (!names.length || wanted === mapped) return;
  chart.show(await ask(`api/v1/map?service=${encodeURIComponent(select.value)}`));
  mapped = wanted;
  const { policy } = services.find((service) => service.service === select.value);
  const exact = ["latency", "distance", "priority"].includes(policy);
  byId("chart-note").textContent = "Every dot is a place that clients come from, in the colour of the region they are sent to as things stand"
    + (exact ? "." : `; by the built-in order, which the policy “${policy}” may change.`);
}

async function explain(event) {
  event.preventDefault();
  const fields = new FormData(byId("explain"));
  const query = new URLSearchParams([...fields].filter(([, value]) => value.trim()));
  const box = byId("answer");
  try {
    const answer = await ask(`api/v1/explain?${query}`);
    box.replaceChildren(...explained(answer));
    const chosen = latest?.services.find((it) => it.service === answer.service)?.regions.find((it) => it.region === answer.chosen);
    chart.plot(chosen && answer.client.location ? { from: answer.client.location, to: chosen.location } : null);
  } catch (error) {
    box.replaceChildren(make("p", { className: "trouble" }, error.message));
    chart.plot(null);
  }
}

// What applies to a request on its way, in the words of the configuration.
function applied({ retry, timeouts, limits, priority }) {
  const of = (whose) => (whose === "route" ? " (of the route)" : "");
  const time = (milliseconds) => (milliseconds >= 1000 ? `${milliseconds / 1000}s` : `${milliseconds}ms`);
  const own = [
    limits.request_body_bytes == null ? null : `request_body ${limits.request_body_bytes}B`,
    limits.concurrent_requests == null ? null : `concurrent_requests ${limits.concurrent_requests}`,
    limits.rate == null ? null : `rate ${Number(limits.rate.per_second.toFixed(3))}/s, burst ${limits.rate.burst} for each client network`,
  ].filter((limit) => limit);
  const hedge = retry.hedge_after_ms == null ? "off" : time(retry.hedge_after_ms);
  const each = retry.per_try_timeout_ms == null ? "" : `, per_try_timeout ${time(retry.per_try_timeout_ms)}`;
  return [
    `retry: attempts ${retry.attempts}, retry_on [${retry.retry_on.join(", ")}]${each}, hedge_after ${hedge}${of(retry.of)}`,
    `timeouts: connect ${time(timeouts.connect_ms)}, request ${time(timeouts.request_ms)}, idle ${time(timeouts.idle_ms)}, tunnel ${time(timeouts.tunnel_ms)}${of(timeouts.of)}`,
    own.length ? `limits: ${own.join(", ")}` : null,
    `priority: ${priority}`,
  ].filter((line) => line);
}

function explained(answer) {
  const regions = latest?.services.find((service) => service.service === answer.service)?.regions ?? [];
  const where = answer.client.country ? ` from ${answer.client.country}` : "";
  const rows = answer.regions.map((candidate) =>
    make("tr", { className: candidate.rank ? "" : "excluded", style: { "--tint": tint(regions.findIndex((it) => it.region === candidate.region)) } },
      make("td", {}, candidate.rank ?? "–"),
      make("td", {}, make("span", { className: "swatch" }), candidate.region),
      make("td", {}, candidate.excluded ?? (candidate.rank ? "may answer" : "left out by the plugin")),
      make("td", { className: "number" }, candidate.round_trip_ms == null ? "–" : `${candidate.round_trip_ms} ms`),
      make("td", { className: "number" }, candidate.distance_km == null ? "–" : `${Math.round(candidate.distance_km)} km`)));
  return [
    make("p", { className: "reason" }, `${answer.client.address}${where} → `, make("b", {}, answer.chosen ?? "no region"), ` (${answer.service})`),
    make("p", { className: "note" }, make("code", {}, answer.reason)),
    ...(answer.policies ? applied(answer.policies) : []).map((line) => make("p", { className: "note" }, line)),
    make("div", { className: "wide" }, make("table", {},
      make("thead", {}, make("tr", {}, ...["", "region", "standing"].map((title) => make("th", {}, title)),
        ...["round trip", "distance"].map((title) => make("th", { className: "number" }, title)))),
      make("tbody", {}, ...rows))),
  ];
}

byId("explain").addEventListener("submit", explain);
byId("service").addEventListener("change", () => latest && showMap(latest).catch((error) => trouble(error.message)));
poll();
