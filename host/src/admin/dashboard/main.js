// Polls the instance and shows its status.

const PERIOD = 2000;

const world = new WorldMap(byId("map"), byId("markers"));
const hour = new Hour();
let [latest, mapped, configured, polls] = [null, null, null, 0];

function trouble(error) {
  const box = byId("trouble");
  box.hidden = !error;
  box.textContent = error ?? "";
}

async function poll() {
  if (!document.hidden) {
    try {
      const [regions, plugins, ready, attention] = await Promise.all(
        ["api/v1/regions", "api/v1/plugins", "readyz", "api/v1/attention"].map((path) => ask(path)));
      latest = regions;
      if (polls % 15 === 0) configured = await ask("api/v1/config");
      showAttention(attention);
      showReady(ready);
      showServices(regions);
      showPlugins(plugins.plugins, configured?.plugins);
      showFrontDoor(ready.front_door && await ask("api/v1/front-door"));
      await showMap(regions);
      if (polls % 3 === 0) showInstances(await ask("api/v1/instances"));
      if (polls % 5 === 0) await hour.read();
      chooseSeries(regions);
      polls++;
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
        make("b", {}, load.what.replaceAll("_", " ")),
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

// Keeps a list of choices as it should be, without losing the one that was made.
function choices(select, names, words = names) {
  if (names.join() === [...select.options].map((option) => option.value).join()) return;
  const before = select.value;
  select.replaceChildren(...names.map((value, index) => make("option", { value }, words[index])));
  if (names.includes(before)) select.value = before;
}

async function showMap({ services, generation }) {
  const select = byId("service");
  const names = services.map((service) => service.service);
  choices(select, names);
  select.hidden = names.length < 2;
  if (!names.length) return;
  const service = services.find((it) => it.service === select.value);
  world.mark(service.regions);
  const wanted = `${generation} ${select.value}`;
  if (wanted !== mapped) {
    world.show(await ask(`api/v1/map?service=${encodeURIComponent(select.value)}`));
    mapped = wanted;
  }
  const note = byId("map-note");
  if (!byId("view-traffic").checked) {
    world.showTraffic(null);
    const exact = ["latency", "distance", "priority"].includes(service.policy);
    note.textContent = "Every dot is a place that clients come from, in the colour of the region they are sent to as things stand"
      + (exact ? "." : `; by the built-in order, which the policy “${service.policy}” may change.`);
    return;
  }
  const traffic = await ask(`api/v1/traffic?service=${encodeURIComponent(select.value)}`);
  world.showTraffic(traffic);
  note.textContent = described(traffic, moved(world.map, traffic));
}

function described(traffic, moved) {
  if (!traffic.requests) return "No region has answered a request in the last five minutes.";
  const percent = (count) => `${((100 * count) / traffic.requests).toFixed(1)} %`;
  const to = traffic.regions.filter((it) => it.requests).map((it) => `${it.region} ${percent(it.requests)}`);
  return [
    `${compact(traffic.requests)} requests of the last ${span(traffic.seconds)} from ${traffic.cells.length} places: ${to.join(", ")}.`,
    traffic.by_plugin ? `The plugin ordered ${percent(traffic.by_plugin)}.` : null,
    `${percent(moved)} went to another region than the built-in order has now.`,
    traffic.without_place ? `${percent(traffic.without_place)} came from clients without a place.` : null,
  ].filter((line) => line).join(" ");
}

// The service or region whose hour is shown.
function chooseSeries({ services }) {
  const select = byId("series");
  const values = services.flatMap((service) => [service.service, ...service.regions.map((it) => `${service.service}/${it.region}`)]);
  const words = services.flatMap((service) => [`${service.service}, all regions`, ...service.regions.map((it) => `${service.service}: ${it.region}`)]);
  choices(select, values, words);
  const [name, region] = select.value.split("/");
  const service = services.find((it) => it.service === name);
  if (service) showHour(hour, name, region, service.regions);
}

const refresh = () => latest && showMap(latest).catch((error) => trouble(error.message));
byId("explain").addEventListener("submit", explain);
byId("service").addEventListener("change", refresh);
byId("view-order").addEventListener("change", refresh);
byId("view-traffic").addEventListener("change", refresh);
byId("series").addEventListener("change", () => latest && chooseSeries(latest));
poll();
follow();
