// A certified OpenID Connect provider (npm oidc-provider) with one client and its own sign-in form.
// node provider.mjs PACKAGES PORT CALLBACK CLIENT_SECRET_FILE
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [directory, port, callback, secretFile] = process.argv.slice(2);
const path = createRequire(`${directory}/`).resolve("oidc-provider");
const { default: Provider } = await import(pathToFileURL(path).href);
const { createServer } = await import("node:http");

const server = createServer();
await new Promise((ready) => server.listen(Number(port), "127.0.0.1", ready));
const issuer = `http://127.0.0.1:${port}`;
const provider = new Provider(issuer, {
  clients: [
    {
      client_id: "underpass",
      client_secret: readFileSync(secretFile, "utf8").trim(),
      redirect_uris: [callback],
      response_types: ["code"],
      grant_types: ["authorization_code"],
    },
  ],
  claims: { openid: ["sub"], email: ["email", "email_verified"] },
  conformIdTokenClaims: false,
  pkce: { required: () => true },
  // Whoever signs in as NAME is NAME@example.com; "unverified" has an address nobody checked.
  findAccount: (context, id) => ({
    accountId: id,
    claims: () => ({
      sub: id,
      email: `${id}@example.com`,
      email_verified: id !== "unverified",
    }),
  }),
});
server.on("request", provider.callback());
console.log(JSON.stringify({ event: "ready", issuer }));
