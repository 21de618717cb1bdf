// The map: every place of the location table in the colour of the region its clients are sent to, or where requests really came
// from and went.

const TINTS = ["#3b7dd8", "#d9822b", "#2f9e77", "#c0508f", "#8265c9", "#b59a1c", "#c7463c", "#2a9bb0"];
const tint = (index) => TINTS[index % TINTS.length];

// Between these latitudes there are clients.
const [NORTH, SOUTH] = [82, -60];

class WorldMap {
  constructor(canvas, markers) {
    this.canvas = canvas;
    this.markers = markers;
    this.map = null;
    this.traffic = null;
    this.states = [];
    this.course = null;
    new ResizeObserver(() => this.draw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  // What clients of each place would get.
  show(map) {
    this.map = map;
    this.draw();
  }

  // What requests did; null shows the places again.
  showTraffic(traffic) {
    this.traffic = traffic;
    this.draw();
  }

  // Marks the regions by their states.
  mark(regions) {
    const crowded = regions.length > 16;
    render(this.markers, ...regions.map((region, index) => {
      const { latitude, longitude } = region.location;
      const [x, y] = [((longitude + 180) / 360) * 100, ((NORTH - latitude) / (NORTH - SOUTH)) * 100];
      const state = region.excluded === "unhealthy" || region.state === "unhealthy" ? "unhealthy" : region.state;
      const words = state === "healthy" ? region.region : `${region.region}: ${state}`;
      return make("div", {
        className: `marker ${state}${x > 80 ? " left" : ""}${crowded ? " crowded" : ""}`, role: "img", "aria-label": words, title: words,
        style: { left: `${x}%`, top: `${y}%`, "--tint": tint(index) },
      }, make("i"), make("span", {}, region.region, state === "healthy" || state === "unknown" ? null : make("small", {}, state)));
    }));
  }

  // Draws a line from a client to its region; null takes it away.
  plot(course) {
    this.course = course;
    this.draw();
  }

  point({ latitude, longitude }) {
    const { width, height } = this.size;
    return [((longitude + 180) / 360) * width, ((NORTH - latitude) / (NORTH - SOUTH)) * height];
  }

  draw() {
    const { canvas, map } = this;
    const scale = devicePixelRatio || 1;
    this.size = { width: canvas.clientWidth, height: canvas.clientHeight };
    canvas.width = this.size.width * scale;
    canvas.height = this.size.height * scale;
    const pen = canvas.getContext("2d");
    pen.scale(scale, scale);
    const style = getComputedStyle(document.documentElement);
    this.colour = (name) => style.getPropertyValue(name).trim();
    if (!map) return;
    this.rhumbs(pen);
    this.places(pen);
    if (this.traffic) this.flows(pen);
    if (this.course) this.line(pen);
  }

  // Sixteen winds from every region, as the old charts have them.
  rhumbs(pen) {
    pen.strokeStyle = this.colour("--rhumb");
    pen.lineWidth = 1;
    const far = this.size.width * 2;
    for (const { location } of this.map.regions) {
      const [x, y] = this.point(location);
      for (let wind = 0; wind < 16; wind++) {
        const angle = (wind * Math.PI) / 8;
        pen.beginPath();
        pen.moveTo(x, y);
        pen.lineTo(x + far * Math.cos(angle), y + far * Math.sin(angle));
        pen.stroke();
      }
    }
  }

  places(pen) {
    const radius = Math.max(this.size.width / 620, 0.9);
    for (const [latitude, longitude, region] of this.map.places) {
      const [x, y] = this.point({ latitude, longitude });
      pen.fillStyle = region == null || this.traffic ? this.colour("--dot") : tint(region);
      pen.beginPath();
      pen.arc(x, y, radius, 0, 2 * Math.PI);
      pen.fill();
    }
  }

  // Each place that requests came from, as large as their number, with a bow to each region that answered them.
  flows(pen) {
    const { cells } = this.traffic;
    const most = Math.max(1, ...cells.map(([, , regions]) => regions.reduce((total, [, requests]) => total + requests, 0)));
    const home = this.map.regions.map(({ location }) => this.point(location));
    for (const [latitude, longitude, regions] of cells) {
      const [x, y] = this.point({ latitude, longitude });
      for (const [region, requests] of regions) {
        const [toX, toY] = home[region] ?? [x, y];
        pen.strokeStyle = tint(region);
        pen.globalAlpha = 0.25 + 0.5 * Math.sqrt(requests / most);
        pen.lineWidth = 0.8 + 2.2 * Math.sqrt(requests / most);
        pen.beginPath();
        pen.moveTo(x, y);
        pen.quadraticCurveTo((x + toX) / 2, (y + toY) / 2 - Math.hypot(toX - x, toY - y) / 5, toX, toY);
        pen.stroke();
      }
    }
    pen.globalAlpha = 1;
    for (const [latitude, longitude, regions] of cells) {
      const [x, y] = this.point({ latitude, longitude });
      const total = regions.reduce((sum, [, requests]) => sum + requests, 0);
      const radius = 2.5 + 7 * Math.sqrt(total / most);
      let from = -Math.PI / 2;
      // A slice for each region.
      for (const [region, requests] of regions) {
        const to = from + (2 * Math.PI * requests) / total;
        pen.fillStyle = tint(region);
        pen.beginPath();
        pen.moveTo(x, y);
        pen.arc(x, y, radius, from, to);
        pen.fill();
        from = to;
      }
      pen.strokeStyle = this.colour("--card");
      pen.lineWidth = 1;
      pen.beginPath();
      pen.arc(x, y, radius, 0, 2 * Math.PI);
      pen.stroke();
    }
  }

  line(pen) {
    const [from, to] = [this.point(this.course.from), this.point(this.course.to)];
    pen.strokeStyle = this.colour("--accent");
    pen.lineWidth = 2;
    pen.beginPath();
    pen.moveTo(...from);
    pen.lineTo(...to);
    pen.stroke();
    pen.fillStyle = this.colour("--accent");
    pen.beginPath();
    pen.arc(...from, 4, 0, 2 * Math.PI);
    pen.fill();
  }
}

// How many requests went to another region than the built-in order has first for their place now.
function moved(map, traffic) {
  const first = new Map(map.places.map(([latitude, longitude, region]) => [`${latitude.toFixed(2)} ${longitude.toFixed(2)}`, region]));
  let count = 0;
  for (const [latitude, longitude, regions] of traffic.cells) {
    const wanted = first.get(`${latitude.toFixed(2)} ${longitude.toFixed(2)}`);
    for (const [region, requests] of regions) if (wanted != null && wanted !== region) count += requests;
  }
  return count;
}
