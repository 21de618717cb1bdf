// A gateway: says what it received. GET /slow answers after a second.
import { createServer } from "node:http";
import { createHash } from "node:crypto";

createServer((request, response) => {
  const hash = createHash("sha256");
  let length = 0;
  request.on("data", (data) => {
    length += data.length;
    hash.update(data);
  });
  request.on("end", () => {
    const answer = JSON.stringify({ method: request.method, length, sha256: hash.digest("hex") });
    const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(answer) };
    setTimeout(() => response.writeHead(200, headers).end(answer), request.url.startsWith("/slow") ? 1000 : 0);
  });
  request.on("error", () => {});
}).listen(Number(process.argv[2]), "127.0.0.1");
