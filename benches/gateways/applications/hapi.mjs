// hapi, at its defaults: PORT.
import Hapi from "@hapi/hapi";

const site = Hapi.server({ port: Number(process.argv[2]), host: "127.0.0.1" });
site.route({ method: "GET", path: "/{path*}", handler: () => "ok" });
site.route({ method: "POST", path: "/{path*}", options: { payload: { parse: false } }, handler: () => "ok" });
await site.start();
