// A server on the TypeScript SDK v1. usage: server-v1.mjs http PORT | stdio
import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { completable } from '@modelcontextprotocol/sdk/server/completable.js';
import { McpServer, ResourceTemplate } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import {
  CreateMessageResultSchema,
  ElicitResultSchema,
  ListPromptsRequestSchema,
  ListRootsResultSchema,
  McpError,
  SubscribeRequestSchema,
  UnsubscribeRequestSchema,
} from '@modelcontextprotocol/sdk/types.js';
import * as z from 'zod';
import { CAPABILITIES, INSTRUCTIONS, repeatedly, tour } from './tour.mjs';

const RESULTS = {
  'elicitation/create': ElicitResultSchema,
  'sampling/createMessage': CreateMessageResultSchema,
  'roots/list': ListRootsResultSchema,
};

function makeServer() {
  const server = new McpServer(
    { name: 'interop-typescript-v1', version: '1.0.0' },
    { instructions: INSTRUCTIONS, capabilities: CAPABILITIES },
  );
  const subscribed = new Set();
  const remember = change => request => (change(request.params.uri), {});
  server.server.setRequestHandler(SubscribeRequestSchema, remember(uri => subscribed.add(uri)));
  server.server.setRequestHandler(UnsubscribeRequestSchema, remember(uri => subscribed.delete(uri)));
  const timer = repeatedly(() => {
    if (!server.isConnected()) return;
    server.sendToolListChanged();
    for (const uri of subscribed) server.server.sendResourceUpdated({ uri });
  });
  server.server.onclose = () => clearInterval(timer);
  return tour(server, {
    ResourceTemplate,
    shape: fields => fields,
    // v1 looks for the completer on the optional schema, v2 on the inner schema.
    suggesting: complete => completable(z.string().optional(), typed => complete(typed ?? '')),
    protocolError: (code, message) => new McpError(code, message),
    notFound: uri => new McpError(-32002, `Resource ${uri} not found`),
    listPrompts: (low, page) => low.setRequestHandler(ListPromptsRequestSchema, page),
    notify: (ctx, notification) => ctx.sendNotification(notification),
    log: (ctx, level, data) => server.sendLoggingMessage({ level, logger: 'chatter', data }, ctx.sessionId),
    signal: ctx => ctx.signal,
    token: ctx => ctx._meta?.progressToken,
    ask: async (ctx, request, then) => then(await ctx.sendRequest(request, RESULTS[request.method])),
  });
}

const [how, port] = process.argv.slice(2);
if (how === 'http') {
  // One transport per session, as in the documentation.
  const sessions = new Map();
  createServer(async (req, res) => {
    let transport = sessions.get(req.headers['mcp-session-id']);
    if (transport === undefined) {
      transport = new StreamableHTTPServerTransport({
        sessionIdGenerator: randomUUID,
        onsessioninitialized: id => sessions.set(id, transport),
        onsessionclosed: id => sessions.delete(id),
      });
      await makeServer().connect(transport);
    }
    await transport.handleRequest(req, res);
  }).listen(Number(port), '127.0.0.1');
} else if (how === 'stdio') {
  // Real servers log to standard error before they answer.
  console.error('interop-typescript-v1 is up');
  await makeServer().connect(new StdioServerTransport());
} else {
  console.error('usage: server-v1.mjs http PORT | stdio');
  process.exit(2);
}
