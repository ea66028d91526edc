// A client of the TypeScript SDK v1 (2025-11-25) behind a round-robin balancer: `client.mjs URL ROUNDS`.
// Each round is a plain call, a call with progress notifications and a call with an elicitation. Prints a report as JSON.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { ElicitRequestSchema } from "@modelcontextprotocol/sdk/types.js";

const [url, rounds] = [process.argv[2], Number(process.argv[3])];
const seen = { calls: 0, notifications: 0, elicitations: 0, retried: 0, wrong: [], statuses: {}, replicas: {} };

const counting = async (input, init) => {
  const response = await fetch(input, init);
  const key = `${init?.method ?? "GET"} ${response.status}`;
  seen.statuses[key] = (seen.statuses[key] ?? 0) + 1;
  return response;
};

const client = new Client({ name: "balanced-ts", version: "1" }, { capabilities: { elicitation: {} } });
client.setRequestHandler(ElicitRequestSchema, async () => {
  seen.elicitations += 1;
  return { action: "accept", content: { date: "2027-01-02", guests: 3 } };
});
client.onerror = () => {};
await client.connect(new StreamableHTTPClientTransport(new URL(url), { fetch: counting }));

// A call that was lost with its replica is retried. Any other failure is reported.
const call = async (name, args, options) => {
  for (let attempt = 0; ; attempt += 1) {
    try {
      const result = await client.callTool({ name, arguments: args }, undefined, { timeout: 10000, ...options });
      seen.calls += 1;
      return result.content?.[0]?.text ?? "";
    } catch (error) {
      if (attempt === 8) throw error;
      seen.retried += 1;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
};
const expect = (what, text, part) => {
  if (!text.includes(part)) seen.wrong.push(`${what}: ${text}`);
};

for (let round = 0; round < rounds; round += 1) {
  const who = await call("whoami", {});
  expect("whoami", who, "replica ");
  seen.replicas[who] = (seen.replicas[who] ?? 0) + 1;
  let progress = 0;
  const counted = await call("countdown", { from: 2, pause_ms: 11 }, { onprogress: () => (progress += 1) });
  expect("countdown", counted, "Counted down from 2");
  if (progress === 0) seen.wrong.push(`countdown ${round}: no progress`);
  seen.notifications += progress;
  expect("book_table", await call("book_table", { restaurant: "Ada's" }), "A table for 3 at Ada's on 2027-01-02");
}
await client.close();
console.log(JSON.stringify(seen));
process.exit(0);
