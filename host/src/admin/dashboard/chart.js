// The chart: every place of the location table in the colour of the region its clients are sent to.

const TINTS = ["#3b7dd8", "#d9822b", "#2f9e77", "#c0508f", "#8265c9", "#b59a1c", "#c7463c", "#2a9bb0"];
const tint = (index) => TINTS[index % TINTS.length];

// Between these latitudes there are clients.
const [NORTH, SOUTH] = [82, -60];

class Chart {
  constructor(canvas) {
    this.canvas = canvas;
    this.map = null;
    this.course = null;
    new ResizeObserver(() => this.draw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  show(map) {
    this.map = map;
    this.draw();
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
    if (this.course) this.line(pen);
    map.regions.forEach((region, index) => this.region(pen, region, index));
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
      pen.fillStyle = region == null ? this.colour("--dot") : tint(region);
      pen.beginPath();
      pen.arc(x, y, radius, 0, 2 * Math.PI);
      pen.fill();
    }
  }

  region(pen, { region, location }, index) {
    const [x, y] = this.point(location);
    pen.fillStyle = this.colour("--card");
    pen.strokeStyle = tint(index);
    pen.lineWidth = 2.5;
    pen.beginPath();
    pen.arc(x, y, 5, 0, 2 * Math.PI);
    pen.fill();
    pen.stroke();
    if (this.map.regions.length > 16 || this.size.width < 500) return;
    pen.font = "600 12px ui-sans-serif, system-ui, sans-serif";
    pen.lineJoin = "round";
    pen.lineWidth = 4;
    pen.strokeStyle = this.colour("--card");
    const width = pen.measureText(region).width;
    const left = x + 10 + width > this.size.width ? x - 10 - width : x + 10;
    pen.strokeText(region, left, y + 4);
    pen.fillStyle = this.colour("--ink");
    pen.fillText(region, left, y + 4);
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
