// The TypeScript SDK v2's client. usage: client-v2.mjs ERA http URL | ERA stdio COMMAND [ARG...]
import assert from 'node:assert/strict';
import { Client, LOG_LEVEL_META_KEY, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { ANSWERS, CAPABILITIES, checks, target, within } from './checks.mjs';

const { era, how, rest } = target();
const transport =
  how === 'http'
    ? new StreamableHTTPClientTransport(new URL(rest[0]))
    : new StdioClientTransport({ command: rest[0], args: rest.slice(1) });
// `auto` tries `server/discover` first and falls back to the handshake, which must not be necessary.
const mode = era === 'modern' ? 'auto' : 'legacy';
const client = new Client(
  { name: 'interop-typescript-v2', version: '1.0.0' },
  { versionNegotiation: { mode }, capabilities: CAPABILITIES },
);
for (const [method, answer] of Object.entries(ANSWERS)) client.setRequestHandler(method, answer);
await within(client.connect(transport));
await checks({
  era,
  how,
  client,
  transport,
  fresh: { cacheMode: 'refresh' },
  version: () => client.getNegotiatedProtocolVersion(),
  call: ({ _meta, ...params }, options = {}) => {
    const { meta, ...more } = options;
    return client.callTool(meta ? { ...params, _meta: meta } : params, more);
  },
  on: (method, handler) => client.setNotificationHandler(method, note => handler(note.params)),
  logs: async (level, work) => {
    if (era === 'modern') return work({ meta: { [LOG_LEVEL_META_KEY]: level } });
    await client.setLoggingLevel(level);
    return work();
  },
  changes: async (uri, work) => {
    if (era === 'legacy') {
      await client.subscribeResource({ uri });
      await work();
      return client.unsubscribeResource({ uri });
    }
    const subscription = await client.listen({ toolsListChanged: true, resourceSubscriptions: [uri] });
    try {
      assert.equal(subscription.honoredFilter.toolsListChanged, true);
      await work();
    } finally {
      await subscription.close();
    }
  },
});
if (how === 'http' && era === 'legacy') await transport.terminateSession();
await client.close();
process.exit(0);
