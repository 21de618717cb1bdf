// Fastify: PORT IDLE_MILLISECONDS.
import fastify from "fastify";

const site = fastify({ keepAliveTimeout: Number(process.argv[3]) });
site.addContentTypeParser("*", { parseAs: "buffer" }, (_request, _body, done) => done(null));
site.all("/*", async () => "ok");
await site.listen({ port: Number(process.argv[2]), host: "127.0.0.1" });
