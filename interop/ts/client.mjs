// The TypeScript SDK's client against carryall's demo. usage: client.mjs http URL | stdio COMMAND [ARG...]
// Prints one line of JSON per check: {"check": ..., "ok": ..., "says": ...}.
import assert from 'node:assert/strict';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';

const LIMIT = 20_000;
const NOTICE = 'demo://notice';
const [how, ...rest] = process.argv.slice(2);
if (!['http', 'stdio'].includes(how) || rest.length === 0) {
  console.error('usage: client.mjs http URL | stdio COMMAND [ARG...]');
  process.exit(2);
}

function within(work) {
  let timer;
  const late = new Promise((_, no) => {
    timer = setTimeout(() => no(new Error(`nothing within ${LIMIT} ms`)), LIMIT);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}

async function check(name, work) {
  let line;
  try {
    line = { check: name, ok: true, says: await within(work()) };
  } catch (error) {
    line = { check: name, ok: false, says: `${error.name}: ${error.message}` };
  }
  console.log(JSON.stringify(line));
}

async function refused(work) {
  try {
    await work;
  } catch (error) {
    return error;
  }
  throw new Error('it was not refused');
}

const call = (name, args, options) => client.callTool({ name, arguments: args }, options);
const textOf = result => result.content[0].text;

const transport =
  how === 'http'
    ? new StreamableHTTPClientTransport(new URL(rest[0]))
    : new StdioClientTransport({ command: rest[0], args: rest.slice(1) });
const client = new Client(
  { name: 'interop-typescript', version: '1.0.0' },
  // It asks `server/discover` first and falls back to the old handshake: it must not have to.
  { versionNegotiation: { mode: 'auto' }, capabilities: { elicitation: { form: {} } } },
);
client.setRequestHandler('elicitation/create', request => {
  assert.match(request.params.message, /expect you/);
  return { action: 'accept', content: { date: '2026-08-01', guests: 4 } };
});
await within(client.connect(transport));

await check('discover', async () => {
  const version = client.getNegotiatedProtocolVersion();
  assert.equal(version, '2026-07-28');
  assert.equal(client.getServerVersion()?.name, 'carryall-demo');
  return `${client.getServerVersion().name}, ${version}`;
});
await check('list tools', async () => {
  const names = (await client.listTools()).tools.map(tool => tool.name);
  for (const name of ['whoami', 'add', 'countdown']) assert.ok(names.includes(name), `${names}`);
  return `${names.length} tools`;
});
await check('call', async () => {
  const said = textOf(await call('whoami', {}));
  assert.match(said, /^replica /);
  return said;
});
await check('call, structured output', async () => {
  const { structuredContent } = await call('add', { a: 2, b: 40 });
  assert.deepEqual(structuredContent, { sum: 42 });
  return JSON.stringify(structuredContent);
});
await check('call, argument in a header', async () => {
  const said = textOf(await call('query', { region: 'eu-süd 1', text: 'rain' }));
  assert.match(said, /^rain asked in eu-süd 1/);
  return said;
});
await check("tool's own error", async () => {
  const result = await call('fail', { reason: 'on purpose' });
  assert.equal(result.isError, true);
  assert.match(textOf(result), /on purpose/);
  return 'isError: true';
});
await check('protocol error', async () => {
  const error = await refused(call('fail', { kind: 'protocol', reason: 'on purpose' }));
  assert.equal(error.code, -32602, `${error}`);
  return `code ${error.code}`;
});
await check('unknown tool', async () => {
  const error = await refused(call('no_such_tool', {}));
  assert.equal(error.code, -32602, `${error}`);
  return `code ${error.code}`;
});
await check('progress notifications', async () => {
  const [came, seen] = [[], []];
  const deliver = transport.onmessage;
  transport.onmessage = (message, extra) => {
    if (message.method === 'notifications/progress') came.push(message.params);
    deliver.call(transport, message, extra);
  };
  const result = await call('countdown', { from: 3, pause_ms: 20 }, { onprogress: note => seen.push(note) });
  transport.onmessage = deliver;
  assert.equal(textOf(result), 'Counted down from 3.');
  assert.deepEqual(came.map(note => note.progress), [0, 1, 2, 3]);
  assert.deepEqual([came[3].total, came[3].message], [3, 'lift-off']);
  // This SDK calls handlers in a microtask but settles the call at once, so that over stdio a last notification that
  // is read together with the answer does not reach its handler. It has come all the same.
  assert.deepEqual(seen.map(note => note.progress), [0, 1, 2, 3].slice(0, how === 'http' ? 4 : Math.max(3, seen.length)));
  return `${came.length} notifications${seen.length < 4 ? ', the last one dropped by the SDK (it came with the answer)' : ''}`;
});
await check('list resources and templates', async () => {
  const { resources } = await client.listResources();
  assert.ok(resources.some(resource => resource.uri === NOTICE));
  const { resourceTemplates } = await client.listResourceTemplates();
  assert.ok(resourceTemplates.some(template => template.uriTemplate.includes('capitals')));
  return `${resources.length} resources, ${resourceTemplates.length} templates`;
});
await check('read resources', async () => {
  const { contents } = await client.readResource({ uri: 'demo://capitals/norway' });
  assert.equal(contents[0].text, 'Oslo');
  const error = await refused(client.readResource({ uri: 'demo://no-such-thing' }));
  assert.equal(error.code, -32602, `${error}`);
  return `${contents[0].text}; unknown: code ${error.code}`;
});
await check('list and get prompts', async () => {
  const { prompts } = await client.listPrompts();
  assert.ok(prompts.some(prompt => prompt.name === 'greet'));
  const { messages } = await client.getPrompt({ name: 'greet', arguments: { name: 'Ada', tone: 'formal' } });
  assert.match(messages[0].content.text, /formal greeting to Ada/);
  return messages[0].content.text;
});
await check('complete', async () => {
  const ref = { type: 'ref/prompt', name: 'greet' };
  const { completion } = await client.complete({ ref, argument: { name: 'language', value: 'F' } });
  assert.deepEqual(completion.values, ['Finnish', 'French']);
  return completion.values.join(', ');
});
await check('input required (two rounds)', async () => {
  const said = textOf(await call('book_table', { restaurant: 'Noma' }));
  assert.match(said, /table for 4 at Noma on 2026-08-01/);
  return said;
});
await check('subscriptions/listen', async () => {
  const told = (method, wanted) =>
    new Promise(yes => {
      client.setNotificationHandler(method, note => {
        if (wanted(note.params)) yes();
      });
    });
  const tools = told('notifications/tools/list_changed', () => true);
  const notice = told('notifications/resources/updated', params => params.uri === NOTICE);
  const subscription = await client.listen({ toolsListChanged: true, resourceSubscriptions: [NOTICE] });
  try {
    assert.equal(subscription.honoredFilter.toolsListChanged, true);
    await call('surprise', { show: true });
    await call('post_notice', { text: 'from TypeScript' });
    await Promise.all([tools, notice]);
  } finally {
    await subscription.close();
    await call('surprise', { show: false });
  }
  const { contents } = await client.readResource({ uri: NOTICE });
  assert.equal(contents[0].text, 'from TypeScript');
  return 'acknowledged; list changed, resource updated';
});
await client.close();
process.exit(0);
