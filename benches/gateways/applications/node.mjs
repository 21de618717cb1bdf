// Node's own server, at its defaults: PORT.
import http from "node:http";

http.createServer((request, response) => {
  request.resume();
  request.on("end", () => response.end("ok"));
}).listen(Number(process.argv[2]), "127.0.0.1");
