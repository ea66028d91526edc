// The TypeScript SDK v1's client. usage: client-v1.mjs legacy http URL | legacy stdio COMMAND [ARG...]
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import {
  CreateMessageRequestSchema,
  ElicitRequestSchema,
  ListRootsRequestSchema,
  LoggingMessageNotificationSchema,
  ResourceUpdatedNotificationSchema,
  ToolListChangedNotificationSchema,
} from '@modelcontextprotocol/sdk/types.js';
import { ANSWERS, CAPABILITIES, checks, target, within } from './checks.mjs';

const NOTES = {
  'notifications/message': LoggingMessageNotificationSchema,
  'notifications/resources/updated': ResourceUpdatedNotificationSchema,
  'notifications/tools/list_changed': ToolListChangedNotificationSchema,
};

const { era, how, rest } = target();
const transport =
  how === 'http'
    ? new StreamableHTTPClientTransport(new URL(rest[0]))
    : new StdioClientTransport({ command: rest[0], args: rest.slice(1) });
let version;
transport.setProtocolVersion = (known => negotiated => {
  version = negotiated;
  known?.call(transport, negotiated);
})(transport.setProtocolVersion);

const client = new Client({ name: 'interop-typescript-v1', version: '1.0.0' }, { capabilities: CAPABILITIES });
for (const schema of [ElicitRequestSchema, CreateMessageRequestSchema, ListRootsRequestSchema]) {
  client.setRequestHandler(schema, ANSWERS[schema.shape.method.value]);
}
await within(client.connect(transport));
await checks({
  era,
  how,
  client,
  transport,
  version: () => version,
  call: (params, options) => client.callTool(params, undefined, options),
  on: (method, handler) => client.setNotificationHandler(NOTES[method], note => handler(note.params)),
  logs: async (level, work) => {
    await client.setLoggingLevel(level);
    await work();
  },
  changes: async (uri, work) => {
    await client.subscribeResource({ uri });
    await work();
    await client.unsubscribeResource({ uri });
  },
});
if (how === 'http') await transport.terminateSession();
await client.close();
process.exit(0);
