// A stock MCP client of TypeScript's SDK that does OAuth itself; says each step as a line of JSON.
// node oauth_client.mjs SDK_DIRECTORY URL
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [directory, url] = process.argv.slice(2);
const load = (name) => import(pathToFileURL(createRequire(`${directory}/`).resolve(name)).href);
const { Client } = await load("@modelcontextprotocol/sdk/client/index.js");
const { UnauthorizedError } = await load("@modelcontextprotocol/sdk/client/auth.js");
const { StreamableHTTPClientTransport } = await load(
  "@modelcontextprotocol/sdk/client/streamableHttp.js",
);
const say = (event, facts) => console.log(JSON.stringify({ event, ...facts }));

let answered;
const answer = new Promise((resolve) => (answered = resolve));
const listener = createServer((request, response) => {
  answered(new URL(request.url, "http://localhost").searchParams);
  response.end("you can close this page");
});
await new Promise((ready) => listener.listen(0, "127.0.0.1", ready));
const callback = `http://127.0.0.1:${listener.address().port}/callback`;

const kept = {};
const provider = {
  redirectUrl: callback,
  clientMetadata: {
    client_name: "Stock TypeScript client",
    redirect_uris: [callback],
    grant_types: ["authorization_code", "refresh_token"],
    response_types: ["code"],
    token_endpoint_auth_method: "none",
  },
  clientInformation: () => kept.client,
  saveClientInformation: (client) => void (kept.client = client),
  tokens: () => kept.tokens,
  saveTokens: (tokens) => void (kept.tokens = tokens),
  codeVerifier: () => kept.verifier,
  saveCodeVerifier: (verifier) => void (kept.verifier = verifier),
  redirectToAuthorization: (address) => say("authorize", { url: address.href }),
};

const open = () => new StreamableHTTPClientTransport(new URL(url), { authProvider: provider });
const client = new Client({ name: "underpass-tests", version: "1.0.0" });
let transport = open();
try {
  await client.connect(transport);
  throw new Error("it was let in without a sign-in");
} catch (error) {
  if (!(error instanceof UnauthorizedError)) throw error;
}
await transport.finishAuth((await answer).get("code"));
transport = open();
await client.connect(transport);
const { tools } = await client.listTools();
const sum = await client.callTool({ name: "add", arguments: { a: 2, b: 40 } });
await client.close();
listener.close();
say("done", {
  tools: tools.map((tool) => tool.name),
  sum: sum.content,
  hasRefreshToken: Boolean(kept.tokens.refresh_token),
});
