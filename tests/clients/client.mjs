// undici as a client of HTTP/2. Arguments: the URL, the authority's certificate, what to do.
import { readFileSync } from "node:fs";
import { Readable } from "node:stream";
import { Agent, request } from "undici";

const [base, authority, what] = process.argv.slice(2);
const dispatcher = new Agent({ allowH2: true, connections: 1, connect: { ca: readFileSync(authority) } });
const body = Buffer.alloc(3 << 20);
const counts = {};

async function count(path, options) {
  let said;
  try {
    const response = await request(base + path, { dispatcher, ...options });
    await response.body.dump({ limit: 1 << 20 });
    said = `${response.statusCode} HTTP/2`;
  } catch (error) {
    said = `failed: ${error.code ?? ""} ${error.message}`;
  }
  counts[said] = (counts[said] ?? 0) + 1;
}

async function many(again) {
  const worker = async () => {
    for (let n = 0; again(n); n++) await count("/");
  };
  await Promise.all(Array.from({ length: 20 }, worker));
}

function* pieces() {
  for (let start = 0; start < body.length; start += 1 << 16) yield body.subarray(start, start + (1 << 16));
}

if (what === "get") await many((n) => n < 20);
else if (what === "head") await count("/", { method: "HEAD" });
else if (what === "upload" || what === "large") await count(`/${what}`, { method: "POST", body });
else if (what === "unknown-length") await count("/large", { method: "POST", body: Readable.from(pieces()) });
else if (what === "while") {
  const end = Date.now() + 5000;
  await many(() => Date.now() < end);
}
console.log(JSON.stringify(counts));
process.exit(0);
