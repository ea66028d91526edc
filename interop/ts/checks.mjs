// The checks of a client, for both generations of the TypeScript SDK; the tour is described in ../README.md.
//
// `sdk` provides what differs: era, how, client, transport, version(), call(params, options), on(method, handler), logs(work),
// changes(uri, work).
import assert from 'node:assert/strict';

const LIMIT = 20_000;
const NOTICE = 'demo://notice';
const LEVELS = ['debug', 'info', 'notice', 'warning', 'error', 'critical', 'alert', 'emergency'];

export const ROOTS = [{ uri: 'file:///home/ada/one', name: 'one' }, { uri: 'file:///home/ada/two' }];
export const CAPABILITIES = { elicitation: { form: {} }, sampling: {}, roots: { listChanged: true } };

// The answers of this client to requests of a server.
export const ANSWERS = {
  'elicitation/create': ({ params }) => {
    assert.match(params.message, /expect you/);
    return { action: 'accept', content: { date: '2026-08-01', guests: 4 } };
  },
  'sampling/createMessage': ({ params }) => {
    const [content] = [params.messages[0].content].flat();
    const text = `You asked: ${content.text}`;
    return { role: 'assistant', model: 'interop-model', stopReason: 'endTurn', content: { type: 'text', text } };
  },
  'roots/list': () => ({ roots: ROOTS }),
};

export function target() {
  const [era, how, ...rest] = process.argv.slice(2);
  if (!['modern', 'legacy'].includes(era) || !['http', 'stdio'].includes(how) || rest.length === 0) {
    console.error('usage: client ERA http URL | ERA stdio COMMAND [ARG...]');
    process.exit(2);
  }
  return { era, how, rest };
}

export function within(work) {
  let timer;
  const late = new Promise((_, no) => {
    timer = setTimeout(() => no(new Error(`nothing within ${LIMIT} ms`)), LIMIT);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}

async function refused(work) {
  try {
    await work;
  } catch (error) {
    return error;
  }
  throw new Error('it was not rejected');
}

const textOf = result => result.content[0].text;
const pause = ms => new Promise(yes => setTimeout(yes, ms));

// All pages of a list. A client that collects the pages itself returns them as one.
async function allPages(list, member) {
  const found = [];
  let cursor;
  do {
    const page = await list(cursor === undefined ? undefined : { cursor });
    found.push(...page[member]);
    cursor = page.nextCursor;
  } while (cursor !== undefined);
  return found;
}

export async function checks(sdk) {
  const { client, transport, era } = sdk;
  const call = (name, args = {}, options) => sdk.call({ name, arguments: args }, options);
  const read = async uri => (await client.readResource({ uri })).contents[0].text;
  const all = {
    connect: async () => {
      assert.equal(sdk.version() === '2026-07-28', era === 'modern', sdk.version());
      const { name } = client.getServerVersion();
      return `${name}, ${sdk.version()}`;
    },
    ping: async () => {
      if (era === 'modern') return undefined;
      await client.ping();
      return 'answered';
    },
    'list tools': async () => {
      const tools = await allPages(params => client.listTools(params), 'tools');
      const names = tools.map(tool => tool.name);
      for (const name of ['whoami', 'add', 'countdown']) assert.ok(names.includes(name), `${names}`);
      assert.equal(tools.find(tool => tool.name === 'add').outputSchema.properties.sum.type, 'integer');
      return `${names.length} tools`;
    },
    pagination: async () => {
      let pages = 0;
      const send = transport.send;
      transport.send = function (message, ...more) {
        if (['tools/list', 'prompts/list'].includes(message.method)) pages += 1;
        return send.call(this, message, ...more);
      };
      const tools = await allPages(params => client.listTools(params, sdk.fresh), 'tools');
      const prompts = await allPages(params => client.listPrompts(params, sdk.fresh), 'prompts');
      transport.send = send;
      assert.ok(pages > 2, `${pages} pages`);
      assert.equal(new Set(tools.map(tool => tool.name)).size, tools.length);
      assert.deepEqual(prompts.map(prompt => prompt.name).toSorted(), ['explain_demo', 'greet']);
      return `${tools.length} tools and ${prompts.length} prompts on ${pages} pages`;
    },
    call: async () => {
      const output = textOf(await call('whoami'));
      assert.match(output, /^replica /);
      return output;
    },
    'call, structured output': async () => {
      const { structuredContent } = await call('add', { a: 2, b: 40 });
      assert.deepEqual(structuredContent, { sum: 42 });
      return JSON.stringify(structuredContent);
    },
    'call, argument in a header': async () => {
      const output = textOf(await call('query', { region: 'eu-süd 1', text: 'rain' }));
      assert.match(output, /^rain asked in eu-süd 1/);
      return output;
    },
    "tool's own error": async () => {
      const result = await call('fail', { reason: 'on purpose' });
      assert.equal(result.isError, true);
      assert.match(textOf(result), /on purpose/);
      return 'isError: true';
    },
    'protocol error': async () => {
      const error = await refused(call('fail', { kind: 'protocol', reason: 'on purpose' }));
      assert.equal(error.code, -32602, `${error}`);
      return `code ${error.code}`;
    },
    'unknown tool': async () => {
      const error = await refused(call('no_such_tool'));
      assert.equal(error.code, -32602, `${error}`);
      return `code ${error.code}`;
    },
    'progress notifications': async () => {
      const [came, seen] = [[], []];
      const deliver = transport.onmessage;
      transport.onmessage = (message, extra) => {
        if (message.method === 'notifications/progress') came.push(message.params);
        deliver.call(transport, message, extra);
      };
      const result = await call('countdown', { pause_ms: 20 }, { onprogress: note => seen.push(note) });
      transport.onmessage = deliver;
      assert.equal(textOf(result), 'Counted down from 10.');
      const all = Array.from({ length: 11 }, (_, n) => n);
      assert.deepEqual(came.map(note => note.progress), all);
      assert.deepEqual([came[10].total, came[10].message], [10, 'lift-off']);
      // This SDK calls handlers in a microtask but completes the call immediately. Over stdio, a last notification that
      // is read together with the response therefore does not reach its handler, although it was received.
      const least = sdk.how === 'http' ? 11 : 10;
      assert.deepEqual(seen.map(note => note.progress), all.slice(0, Math.max(least, seen.length)));
      const dropped = seen.length < 11 ? ', the last one dropped by the SDK (read together with the response)' : '';
      return `${came.length} notifications${dropped}`;
    },
    'log messages': async () => {
      const levels = [];
      sdk.on('notifications/message', ({ level, data }) => {
        if (`${data}`.includes(level)) levels.push(level);
      });
      await sdk.logs('notice', options => call('chatter', {}, options));
      for (let n = 0; n < 100 && levels.length < 6; n += 1) await pause(10);
      assert.deepEqual(levels, LEVELS.slice(2));
      return `${levels.length} messages from level notice on`;
    },
    'list resources and templates': async () => {
      const resources = await allPages(params => client.listResources(params), 'resources');
      assert.ok(resources.some(resource => resource.uri === NOTICE));
      const templates = await allPages(params => client.listResourceTemplates(params), 'resourceTemplates');
      assert.ok(templates.some(template => template.uriTemplate.includes('capitals')));
      return `${resources.length} resources, ${templates.length} templates`;
    },
    'read resources': async () => {
      assert.equal(await read('demo://capitals/norway'), 'Oslo');
      // v2 reports the modern code in both eras, so this checks the received message.
      let code;
      const deliver = transport.onmessage;
      transport.onmessage = (message, extra) => {
        code = message.error?.code ?? code;
        deliver.call(transport, message, extra);
      };
      await refused(client.readResource({ uri: 'demo://no-such-thing' }));
      transport.onmessage = deliver;
      assert.equal(code, era === 'modern' ? -32602 : -32002);
      return `Oslo; unknown: code ${code}`;
    },
    'get prompts': async () => {
      const { messages } = await client.getPrompt({ name: 'greet', arguments: { name: 'Ada', tone: 'formal' } });
      assert.match(messages[0].content.text, /formal greeting to Ada/);
      return messages[0].content.text;
    },
    complete: async () => {
      const ref = { type: 'ref/prompt', name: 'greet' };
      const { completion } = await client.complete({ ref, argument: { name: 'language', value: 'F' } });
      assert.deepEqual(completion.values, ['Finnish', 'French']);
      return completion.values.join(', ');
    },
    elicitation: async () => {
      const output = textOf(await call('book_table', { restaurant: 'Noma' }));
      assert.match(output, /table for 4 at Noma on 2026-08-01/);
      return output;
    },
    sampling: async () => {
      const output = textOf(await call('ask_model', { question: 'What is red?' }));
      assert.equal(output, 'The model says: You asked: What is red?');
      return output;
    },
    roots: async () => {
      const output = textOf(await call('show_roots'));
      assert.equal(output, ROOTS.map(root => root.uri).join(', '));
      return output;
    },
    cancellation: async () => {
      const count = async () => Number.parseInt(await read('demo://naps'), 10);
      const before = await count();
      const stop = new AbortController();
      const nap = refused(call('nap', { seconds: 30 }, { signal: stop.signal }));
      await pause(300);
      stop.abort();
      await nap;
      for (let n = 0; n < 100 && (await count()) === before; n += 1) await pause(50);
      assert.equal(await count(), before + 1);
      return 'the server counts one more interrupted nap';
    },
    'changes of lists and resources': async () => {
      const notified = (method, wanted) =>
        new Promise(yes => {
          sdk.on(method, params => {
            if (wanted(params)) yes();
          });
        });
      const tools = notified('notifications/tools/list_changed', () => true);
      const notice = notified('notifications/resources/updated', params => params.uri === NOTICE);
      const words = `from TypeScript ${Math.random()}`;
      try {
        await sdk.changes(NOTICE, async () => {
          await call('surprise', { show: true });
          await call('post_notice', { text: words });
          await Promise.all([tools, notice]);
        });
      } finally {
        await call('surprise', { show: false });
      }
      assert.equal(await read(NOTICE), words);
      return 'list changed, resource updated';
    },
  };
  for (const [check, work] of Object.entries(all)) {
    let line;
    try {
      line = { check, ok: true, detail: await within(work()) };
    } catch (error) {
      line = { check, ok: false, detail: `${error.name}: ${error.message}` };
    }
    // A check returns undefined if the era lacks the feature.
    if (!line.ok || line.detail !== undefined) console.log(JSON.stringify(line));
  }
}
