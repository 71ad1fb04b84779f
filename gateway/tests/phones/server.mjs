// Plays APNs, FCM and the part of Google that gives access tokens, as their documentation says, since nobody keeps such a server that
// could be fetched. TLS, HTTP/2 and cryptography are Node's (nghttp2, OpenSSL): nothing here is of the code that is tested.
//
//   node server.mjs DIR     DIR has cert.pem and key.pem. service-account.json and apns.p8 are written into it, as Google and Apple
//                           give them; then the port is printed
//
// POST /control changes what it does, GET /log tells what came. It judges by the time that it was told last, in seconds.

import { generateKeyPairSync, randomUUID, verify } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { createSecureServer } from "node:http2";
import { join } from "node:path";

const dir = process.argv[2];
const email = "push@market-app.iam.gserviceaccount.com";
const project = "market-app";
const googleKeyId = "0123456789abcdef0123456789abcdef01234567";
const apple = { keyId: "ABC123DEFG", teamId: "DEF123GHIJ", topic: "com.example.market" };
const scope = "https://www.googleapis.com/auth/firebase.messaging";
const pem = (key) => key.export({ type: "pkcs8", format: "pem" });
const google = generateKeyPairSync("rsa", { modulusLength: 2048 });
const apns = generateKeyPairSync("ec", { namedCurve: "P-256" });

// What it is told: the time, what is wrong with devices (by token), and how many of the next requests of a service get an error.
let world = { now_s: 0, devices: {}, next: {} };
const log = [];
const accessTokens = new Map();
let words = [];

const server = createSecureServer({
  cert: readFileSync(join(dir, "cert.pem")),
  key: readFileSync(join(dir, "key.pem")),
  allowHTTP1: true,
});

const decoded = (part) => JSON.parse(Buffer.from(part, "base64url").toString());

/** Reads a JSON Web Token, and says whether its signature is good. */
function jwt(text, publicKey, algorithm) {
  const [header, claims, signature] = text.split(".");
  const bytes = Buffer.from(signature, "base64url");
  const key = algorithm === "ES256" ? { key: publicKey, dsaEncoding: "ieee-p1363" } : publicKey;
  const isGood = verify("sha256", Buffer.from(`${header}.${claims}`), key, bytes);
  return { header: decoded(header), claims: decoded(claims), isGood };
}

/** Gives the error that the next request of a service is to get, if any. */
function planned(service) {
  return world.next[service]?.shift();
}

function apnsAnswer(request, token, body) {
  const { headers } = request;
  const refused = (status, reason, more) => ({ status, body: { reason, ...more } });
  const error = planned("apns");
  if (error) return error;
  if (request.httpVersion !== "2.0") return refused(400, "BadMessageId");
  if (!/^([0-9a-fA-F]{2})+$/.test(token)) return refused(400, "BadDeviceToken");
  const word = headers.authorization?.match(/^bearer (\S+)$/)?.[1];
  if (!word) return refused(403, "MissingProviderToken");
  const { header, claims, isGood } = jwt(word, apns.publicKey, "ES256");
  const isOurs = header.alg === "ES256" && header.kid === apple.keyId && claims.iss === apple.teamId;
  if (!isOurs || !isGood || !Number.isInteger(claims.iat) || claims.iat > world.now_s + 60) {
    return refused(403, "InvalidProviderToken");
  }
  if (claims.iat < world.now_s - 3600) return refused(403, "ExpiredProviderToken");
  if (words.at(-1)?.word !== word) {
    if (words.length > 0 && world.now_s - words.at(-1).at < 20 * 60) return refused(429, "TooManyProviderTokenUpdates");
    words.push({ word, at: world.now_s });
  }
  if (!headers["apns-topic"]) return refused(400, "MissingTopic");
  if (headers["apns-topic"] !== apple.topic) return refused(400, "DeviceTokenNotForTopic");
  const types = ["alert", "background", "location", "voip", "complication", "fileprovider", "mdm", "liveactivity", "pushtotalk"];
  if (!types.includes(headers["apns-push-type"])) return refused(400, "InvalidPushType");
  if (!["10", "5", "1", undefined].includes(headers["apns-priority"])) return refused(400, "BadPriority");
  if (!/^\d+$/.test(headers["apns-expiration"] ?? "0")) return refused(400, "BadExpirationDate");
  if (Buffer.byteLength(headers["apns-collapse-id"] ?? "") > 64) return refused(400, "BadCollapseId");
  if (body.length === 0) return refused(400, "PayloadEmpty");
  if (body.length > 4096) return refused(413, "PayloadTooLarge");
  if (typeof JSON.parse(body).aps !== "object") return refused(400, "PayloadEmpty");
  switch (world.devices[token]) {
    case "gone":
      return refused(410, "Unregistered", { timestamp: world.now_s * 1000 });
    case "bad":
      return refused(400, "BadDeviceToken");
    default:
      return { status: 200, headers: { "apns-id": randomUUID().toUpperCase() } };
  }
}

function accessAnswer(body) {
  const error = planned("google");
  if (error) return error;
  const refused = (description) => ({ status: 400, body: { error: "invalid_grant", error_description: description } });
  const form = new URLSearchParams(body.toString());
  if (form.get("grant_type") !== "urn:ietf:params:oauth:grant-type:jwt-bearer") {
    return { status: 400, body: { error: "unsupported_grant_type" } };
  }
  const { header, claims, isGood } = jwt(form.get("assertion"), google.publicKey, "RS256");
  if (header.alg !== "RS256" || header.kid !== googleKeyId || !isGood) return refused("Invalid JWT Signature.");
  // Clients name the address that they ask, or where Google is, whatever they ask.
  const isMeant = [`${origin()}/token`, "https://oauth2.googleapis.com/token"].includes(claims.aud);
  if (claims.iss !== email || !isMeant) return refused("Invalid JWT: wrong issuer or audience.");
  if (claims.scope !== scope) return { status: 400, body: { error: "invalid_scope" } };
  const isTimely = Math.abs(claims.iat - world.now_s) <= 300 && claims.exp > world.now_s && claims.exp - claims.iat <= 3600;
  if (!isTimely) return refused("Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe.");
  const token = `ya29.${randomUUID()}`;
  accessTokens.set(token, world.now_s + 3599);
  return { status: 200, body: { access_token: token, expires_in: 3599, token_type: "Bearer" } };
}

function fcmAnswer(request, path, body) {
  const error = planned("fcm");
  if (error) return error;
  const refused = (code, status, details) => ({ status: code, body: { error: { code, message: "…", status, details } } });
  const own = (errorCode) => [{ "@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", errorCode }];
  if (path !== `/v1/projects/${project}/messages:send`) return refused(404, "NOT_FOUND", []);
  const access = request.headers.authorization?.match(/^Bearer (\S+)$/)?.[1];
  if (!(accessTokens.get(access) > world.now_s)) return refused(401, "UNAUTHENTICATED", []);
  const { message } = JSON.parse(body);
  const wrong = Object.entries(message.data ?? {}).find(([, value]) => typeof value !== "string");
  if (wrong) {
    const field = { field: `message.data[0].value`, description: "…" };
    const details = [{ "@type": "type.googleapis.com/google.rpc.BadRequest", fieldViolations: [field] }];
    return refused(400, "INVALID_ARGUMENT", details);
  }
  switch (world.devices[message.token ?? message.fid]) {
    case "gone":
      return refused(404, "NOT_FOUND", own("UNREGISTERED"));
    case "bad":
      return refused(400, "INVALID_ARGUMENT", own("INVALID_ARGUMENT"));
    case "of another":
      return refused(403, "PERMISSION_DENIED", own("SENDER_ID_MISMATCH"));
    default:
      return { status: 200, body: { name: `projects/${project}/messages/${randomUUID()}` } };
  }
}

function control(body) {
  const said = JSON.parse(body);
  world = { ...world, ...said, devices: { ...world.devices, ...said.devices } };
  if (said.revoke) accessTokens.clear();
  return { status: 200, body: {} };
}

function answer(request, body) {
  const path = request.url;
  if (path === "/control") return control(body);
  if (path === "/log") return { status: 200, body: log };
  const device = path.match(/^\/3\/device\/(.*)$/)?.[1];
  const service = device !== undefined ? "apns" : path === "/token" ? "google" : "fcm";
  const answered =
    service === "apns" ? apnsAnswer(request, device, body) : service === "google" ? accessAnswer(body) : fcmAnswer(request, path, body);
  const headers = Object.fromEntries(Object.entries(request.headers).filter(([name]) => !name.startsWith(":")));
  const json = service === "google" ? null : JSON.parse(body);
  log.push({ service, path, version: request.httpVersion, headers, body: json, status: answered.status, answer: answered.body ?? null });
  return answered;
}

server.on("request", (request, response) => {
  const pieces = [];
  request.on("data", (piece) => pieces.push(piece));
  request.on("end", () => {
    const { status, headers, body } = answer(request, Buffer.concat(pieces));
    response.writeHead(status, { "content-type": "application/json; charset=UTF-8", ...headers });
    response.end(body === undefined ? undefined : JSON.stringify(body));
  });
});

const origin = () => `https://localhost:${server.address().port}`;
server.listen(0, "127.0.0.1", () => {
  const account = {
    type: "service_account",
    project_id: project,
    private_key_id: googleKeyId,
    private_key: pem(google.privateKey),
    client_email: email,
    client_id: "123456789012345678901",
    auth_uri: "https://accounts.google.com/o/oauth2/auth",
    token_uri: `${origin()}/token`,
    universe_domain: "googleapis.com",
  };
  writeFileSync(join(dir, "service-account.json"), JSON.stringify(account, null, 2));
  writeFileSync(join(dir, "apns.p8"), pem(apns.privateKey));
  console.log(server.address().port);
});
