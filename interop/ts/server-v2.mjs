// A server on the TypeScript SDK v2, for both eras. usage: server-v2.mjs http PORT | stdio
import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import {
  NodeStreamableHTTPServerTransport,
  localhostHostValidation,
  localhostOriginValidation,
  toNodeHandler,
  toWebRequest,
} from '@modelcontextprotocol/node';
import {
  McpServer,
  ProtocolError,
  ResourceNotFoundError,
  ResourceTemplate,
  completable,
  createMcpHandler,
  inputRequired,
  isLegacyRequest,
} from '@modelcontextprotocol/server';
import { serveStdio } from '@modelcontextprotocol/server/stdio';
import * as z from 'zod';
import { CAPABILITIES, INSTRUCTIONS, repeatedly, tour } from './tour.mjs';

const KEY = 'answer';
const REQUESTS = {
  'elicitation/create': ({ params }) => inputRequired.elicit(params),
  'sampling/createMessage': ({ params }) => inputRequired.createMessage(params),
  'roots/list': () => inputRequired.listRoots(),
};

function makeServer() {
  const server = new McpServer(
    { name: 'interop-typescript-v2', version: '1.0.0' },
    { instructions: INSTRUCTIONS, capabilities: CAPABILITIES },
  );
  return tour(server, {
    ResourceTemplate,
    shape: fields => z.object(fields),
    suggesting: complete => completable(z.string(), complete).optional(),
    protocolError: (code, message) => new ProtocolError(code, message),
    notFound: uri => new ResourceNotFoundError(uri),
    listPrompts: (low, page) => low.setRequestHandler('prompts/list', page),
    notify: (ctx, notification) => ctx.mcpReq.notify(notification),
    log: (ctx, level, data) => ctx.mcpReq.log(level, data, 'chatter'),
    signal: ctx => ctx.mcpReq.signal,
    token: ctx => ctx.mcpReq._meta?.progressToken,
    // On a legacy connection the SDK requests the required input and calls the handler again.
    ask: (ctx, request, then) => {
      const answer = ctx.mcpReq.inputResponses?.[KEY];
      return answer ? then(answer) : inputRequired({ inputRequests: { [KEY]: REQUESTS[request.method](request) } });
    },
  });
}

// Returns a server that notifies its connection of changes itself, for legacy and stdio connections.
function notifyingServer() {
  const server = makeServer();
  const subscribed = new Set();
  server.server.setRequestHandler('resources/subscribe', ({ params }) => (subscribed.add(params.uri), {}));
  server.server.setRequestHandler('resources/unsubscribe', ({ params }) => (subscribed.delete(params.uri), {}));
  const timer = repeatedly(() => {
    if (!server.isConnected()) return;
    server.sendToolListChanged();
    for (const uri of modern() ? ['demo://notice'] : subscribed) server.server.sendResourceUpdated({ uri });
  });
  const modern = () => server.server.getNegotiatedProtocolVersion?.() === '2026-07-28';
  server.server.onclose = () => clearInterval(timer);
  return server;
}

const [how, port] = process.argv.slice(2);
if (how === 'http') {
  // The defaults for the modern era, and one transport per session for the legacy era, as in the documentation.
  const handler = createMcpHandler(makeServer, { legacy: 'reject' });
  repeatedly(() => {
    handler.notify.toolsChanged();
    handler.notify.resourceUpdated('demo://notice');
  });
  const modern = toNodeHandler(handler);
  const sessions = new Map();
  const legacy = async (req, res, body) => {
    let transport = sessions.get(req.headers['mcp-session-id']);
    if (transport === undefined) {
      transport = new NodeStreamableHTTPServerTransport({
        sessionIdGenerator: randomUUID,
        onsessioninitialized: id => void sessions.set(id, transport),
        onsessionclosed: id => void sessions.delete(id),
      });
      await notifyingServer().connect(transport);
    }
    await transport.handleRequest(req, res, body);
  };
  const [host, origin] = [localhostHostValidation(), localhostOriginValidation()];
  createServer(async (req, res) => {
    if (!host(req, res) || !origin(req, res)) return;
    const body = req.method === 'POST' ? await parsed(req) : undefined;
    const old = await isLegacyRequest(await toWebRequest(req, body), body);
    await (old ? legacy(req, res, body) : modern(req, res, body));
  }).listen(Number(port), '127.0.0.1');
} else if (how === 'stdio') {
  // Real servers log to standard error before they answer.
  console.error('interop-typescript-v2 is up');
  serveStdio(timer);
} else {
  console.error('usage: server-v2.mjs http PORT | stdio');
  process.exit(2);
}

async function parsed(req) {
  const chunks = [];
  for await (const chunk of req) chunks.push(chunk);
  try {
    return JSON.parse(Buffer.concat(chunks).toString());
  } catch {
    return undefined;
  }
}
