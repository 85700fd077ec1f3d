// A stock MCP client in TypeScript's SDK: does a little of everything, says what it saw as JSON,
// then answers each line of stdin with a sum, beginning anew after a failure as agent hosts do.
// node client.mjs SDK_DIRECTORY v1|v2 events|sessions|stateless URL [TOKEN_FILE]
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const [directory, version, era, url, tokenFile] = process.argv.slice(2);
const find = createRequire(`${directory}/`);
const load = (name) => import(pathToFileURL(find.resolve(name)).href);
const modules =
  version === "v1"
    ? ["index", "streamableHttp", "sse"].map((n) => `@modelcontextprotocol/sdk/client/${n}.js`)
    : ["@modelcontextprotocol/client"];
const { Client, StreamableHTTPClientTransport, SSEClientTransport } = Object.assign(
  {},
  ...(await Promise.all(modules.map(load))),
);

const headers = tokenFile
  ? { Authorization: `Bearer ${readFileSync(tokenFile, "utf8").trim()}` }
  : {};
const mode = { events: "legacy", sessions: "legacy", stateless: { pin: "2026-07-28" } }[era];

async function connect() {
  const Transport = era === "events" ? SSEClientTransport : StreamableHTTPClientTransport;
  const options = { requestInit: { headers } };
  if (era === "events") {
    options.eventSourceInit = {
      fetch: (target, init) => fetch(target, { ...init, headers: { ...init.headers, ...headers } }),
    };
  }
  const client = new Client(
    { name: "underpass-tests", version: "1.0.0" },
    { versionNegotiation: { mode } },
  );
  const transport = new Transport(new URL(url), options);
  // Both SDKs keep what was set before, and tell a note's listener a turn later than the answer
  // that ends its listening: of notes that arrive together with the answer they tell nobody.
  transport.onmessage = ({ method, params }) => {
    if (method === "notifications/progress") progress.push(params.progress);
  };
  await client.connect(transport);
  return client;
}

const progress = [];
let client = await connect();
const { tools } = await client.listTools();
const add = () => client.callTool({ name: "add", arguments: { a: 2, b: 40 } });
const sum = await add();
const steps = { name: "count_down", arguments: { start: 3, interval: 0 } };
const note = { onprogress: () => {} }; // asks for them
await (version === "v1" ? client.callTool(steps, undefined, note) : client.callTool(steps, note));
console.log(JSON.stringify({ tools: tools.map((tool) => tool.name), sum: sum.content, progress }));

for await (const _ of createInterface({ input: process.stdin })) {
  for (let tries = 1; ; tries++) {
    try {
      client ??= await connect();
      const { content } = await add();
      console.log(JSON.stringify({ sum: content, tries }));
      break;
    } catch (error) {
      console.error(String(error));
      await client?.close().catch(() => {});
      client = undefined;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
}
await client.close();
process.exit(0);
