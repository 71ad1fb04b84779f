// Serves the real engine of SurrealDB over HTTP, as its own server does: POST /rpc with JSON, a user's name and password in Basic, and the
// headers surreal-ns and surreal-db. The server itself is in no registry of packages, and its engine is. What it answers is the engine's
// own; this only carries it. GET /live/<table> tells what a live query hears, one line of JSON for each change: the server does that over
// a WebSocket.
//
//   node server.mjs FOLDER USER PASSWORD NAMESPACE DATABASE [PORT]
//
// Prints where it listens; without a port, on a free one. The database stands in FOLDER, and is there again after a restart.
import http from "node:http";
import { createNodeEngines } from "@surrealdb/node";
import { Surreal } from "surrealdb";

const [folder, username, password, namespace, database, port] = process.argv.slice(2);
const surreal = new Surreal({ engines: createNodeEngines() });
await surreal.connect(`surrealkv://${folder}`);
await surreal.use({ namespace, database });
await surreal.query(`DEFINE USER IF NOT EXISTS ${username} ON ROOT PASSWORD "${password}" ROLES OWNER`);

/** Gives the session of somebody who may ask; none, if the engine does not know him. */
async function session(request) {
  const [kind, words] = (request.headers.authorization ?? "").split(" ");
  const [name, ...rest] = Buffer.from(words ?? "", "base64").toString().split(":");
  const own = await surreal.newSession();
  try {
    if (kind !== "Basic") throw new Error("nobody is named");
    await own.signin({ username: name, password: rest.join(":") });
    await own.use({ namespace: request.headers["surreal-ns"] ?? namespace, database: request.headers["surreal-db"] ?? database });
    return own;
  } catch {
    await own.closeSession();
    return undefined;
  }
}

async function body(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  return JSON.parse(Buffer.concat(parts).toString());
}

async function rpc(request, response) {
  const { id, method, params } = await body(request);
  const own = await session(request);
  if (own === undefined) {
    response.writeHead(401).end("There was a problem with authentication");
    return;
  }
  const tell = (answer) => response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ id, ...answer }));
  try {
    if (method !== "query") throw new Error("Method not found");
    const [statements, variables] = params;
    const told = await own.query(statements, variables ?? undefined).responses();
    tell({
      result: told.map((one) =>
        one.success
          ? { status: "OK", result: one.result ?? null, time: `${one.stats?.duration ?? ""}` }
          : { status: "ERR", result: one.error.message, time: `${one.stats?.duration ?? ""}` },
      ),
    });
  } catch (error) {
    tell({ error: { code: -32000, message: error.message } });
  } finally {
    await own.closeSession();
  }
}

async function live(table, response) {
  const [id] = await surreal.query(`LIVE SELECT * FROM ${table}`).collect();
  const changes = await surreal.liveOf(id);
  response.writeHead(200, { "content-type": "application/x-ndjson" });
  response.write("{}\n");
  response.on("close", () => changes.kill());
  for await (const { action, value } of changes) response.write(`${JSON.stringify({ action, value })}\n`);
}

const server = http.createServer((request, response) => {
  const [, path, table] = request.url.split("/");
  const answered =
    path === "live" ? live(table, response) : path === "rpc" && request.method === "POST" ? rpc(request, response) : undefined;
  if (answered === undefined) response.writeHead(404).end();
  else answered.catch((error) => response.destroy(error));
});
server.listen(Number(port ?? 0), "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));
process.stdin.resume();
// Whoever started it is gone.
process.stdin.on("end", () => process.exit(0));
