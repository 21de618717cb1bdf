// Why a client goes where it goes.

async function explain(event) {
  event.preventDefault();
  const fields = new FormData(byId("explain"));
  const given = [...fields].filter(([, value]) => value.trim());
  const isRequest = given.some(([name]) => name === "request");
  const query = new URLSearchParams(given.filter(([name]) => !isRequest || ["request", "why_not"].includes(name)));
  const box = byId("answer");
  try {
    const told = await ask(`api/v1/explain?${query}`);
    const answer = isRequest ? logged(told) : told;
    box.replaceChildren(...explained(answer));
    const chosen = latest?.services.find((it) => it.service === answer.service)?.regions.find((it) => it.region === answer.chosen);
    world.plot(chosen && answer.client.location ? { from: answer.client.location, to: chosen.location } : null);
  } catch (error) {
    box.replaceChildren(make("p", { className: "trouble" }, error.message));
    world.plot(null);
  }
}

// A request that was, as what is shown of a decision.
function logged({ decision, client, country, location, answered_by, attempts, status, outcome, at, why_not }) {
  const tried = attempts.map((it) => `${it.region} ${it.outcome}`).join(", then ") || "no attempt";
  return {
    ...(decision ?? { service: "rejected before a region was chosen", reason: outcome, regions: [] }),
    client: { address: client, country, location },
    chosen: answered_by,
    why_not,
    note: `${new Date(at).toLocaleString()}: ${status ?? ""} ${outcome}; ${tried}`,
  };
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
    answer.why_not ? make("p", { className: "reason" }, answer.why_not.answer) : null,
    answer.note ? make("p", { className: "note" }, answer.note) : null,
    make("p", { className: "note" }, make("code", {}, answer.reason)),
    ...(answer.policies ? applied(answer.policies) : []).map((line) => make("p", { className: "note" }, line)),
    make("div", { className: "wide" }, make("table", {},
      make("thead", {}, make("tr", {}, ...["", "region", "standing"].map((title) => make("th", {}, title)),
        ...["round trip", "distance"].map((title) => make("th", { className: "number" }, title)))),
      make("tbody", {}, ...rows))),
  ].filter((part) => part);
}
