// A stock MCP client in TypeScript's SDK: lists the tools, calls one, says what it saw as JSON.
// node client.mjs SDK_DIRECTORY URL TOKEN_FILE
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [directory, url, tokenFile] = process.argv.slice(2);
const load = (name) => import(pathToFileURL(createRequire(`${directory}/`).resolve(name)).href);
const { Client } = await load("@modelcontextprotocol/sdk/client/index.js");
const { StreamableHTTPClientTransport } = await load(
  "@modelcontextprotocol/sdk/client/streamableHttp.js",
);

const token = readFileSync(tokenFile, "utf8").trim();
const transport = new StreamableHTTPClientTransport(new URL(url), {
  requestInit: { headers: { Authorization: `Bearer ${token}` } },
});
const client = new Client({ name: "underpass-tests", version: "1.0.0" });
await client.connect(transport);
const { tools } = await client.listTools();
const progress = [];
const sum = await client.callTool({ name: "add", arguments: { a: 2, b: 40 } });
await client.callTool(
  { name: "count_down", arguments: { start: 3, interval: 0.01 } },
  undefined,
  { onprogress: ({ progress: step }) => progress.push(step) },
);
await client.close();
console.log(JSON.stringify({ tools: tools.map((tool) => tool.name), sum: sum.content, progress }));
