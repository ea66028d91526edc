// A small server on the TypeScript SDK. usage: server.mjs http PORT | stdio
import { createServer } from 'node:http';
import { localhostHostValidation, localhostOriginValidation, toNodeHandler } from '@modelcontextprotocol/node';
import { McpServer, createMcpHandler } from '@modelcontextprotocol/server';
import { serveStdio } from '@modelcontextprotocol/server/stdio';
import * as z from 'zod';

const text = text => ({ content: [{ type: 'text', text }] });

function makeServer() {
  const server = new McpServer(
    { name: 'interop-typescript', version: '1.0.0' },
    { instructions: 'A server of the interop run.' },
  );
  server.registerTool(
    'echo',
    { description: 'Gives back what it was given', inputSchema: z.object({ text: z.string() }) },
    ({ text: given }) => text(given),
  );
  server.registerTool(
    'add',
    {
      description: 'Adds two whole numbers',
      inputSchema: z.object({ a: z.int(), b: z.int() }),
      outputSchema: z.object({ sum: z.int() }),
    },
    ({ a, b }) => ({ ...text(JSON.stringify({ sum: a + b })), structuredContent: { sum: a + b } }),
  );
  server.registerTool(
    'count',
    { description: 'Counts and reports its progress', inputSchema: z.object({ to: z.int() }) },
    async ({ to }, ctx) => {
      const progressToken = ctx.mcpReq._meta?.progressToken;
      let told = 0;
      while (progressToken !== undefined && told < to) {
        told += 1;
        const params = { progressToken, progress: told, total: to, message: `at ${told}` };
        await ctx.mcpReq.notify({ method: 'notifications/progress', params });
      }
      return text(`counted to ${to}, told ${told} times`);
    },
  );
  server.registerTool('fail', { description: 'Fails' }, () => {
    throw new Error('this tool always fails');
  });
  server.registerResource('hello', 'note://hello', { mimeType: 'text/plain' }, uri => ({
    contents: [{ uri: uri.href, mimeType: 'text/plain', text: 'hello from typescript' }],
  }));
  server.registerPrompt(
    'greet',
    { description: 'Has the model write a greeting', argsSchema: z.object({ name: z.string() }) },
    ({ name }) => ({ messages: [{ role: 'user', content: { type: 'text', text: `Greet ${name}.` } }] }),
  );
  return server;
}

// Whoever listens hears of changes of the list of tools again and again.
const again = tell => setInterval(tell, 300).unref();

const [how, port] = process.argv.slice(2);
if (how === 'http') {
  // Its defaults: JSON, or an event stream when there is something to say before the answer.
  const handler = createMcpHandler(makeServer);
  again(() => handler.notify.toolsChanged());
  const handle = toNodeHandler(handler);
  const [host, origin] = [localhostHostValidation(), localhostOriginValidation()];
  createServer((req, res) => {
    if (host(req, res) && origin(req, res)) void handle(req, res);
  }).listen(Number(port), '127.0.0.1');
} else if (how === 'stdio') {
  // Real servers chat on standard error before they answer anything.
  console.error('interop-typescript is up');
  serveStdio(() => {
    const server = makeServer();
    again(() => server.isConnected() && server.sendToolListChanged());
    return server;
  });
} else {
  console.error('usage: server.mjs http PORT | stdio');
  process.exit(2);
}
