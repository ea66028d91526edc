// The tour (see ../README.md) for the TypeScript SDK, v1 and v2.
//
// `sdk` provides what differs: ResourceTemplate, shape, suggesting, protocolError, notFound, listPrompts, and the operations on
// the context of a call: notify, log, signal, token, ask.
import * as z from 'zod';

const LANGUAGES = ['Danish', 'English', 'Finnish', 'French', 'German'];
const CAPITALS = { denmark: 'Copenhagen', finland: 'Helsinki', france: 'Paris', norway: 'Oslo' };
const LEVELS = ['debug', 'info', 'notice', 'warning', 'error', 'critical', 'alert', 'emergency'];
const NOTICE = 'demo://notice';

export const INSTRUCTIONS = 'A server of the interop run.';
export const CAPABILITIES = {
  logging: {},
  completions: {},
  tools: { listChanged: true },
  prompts: {},
  resources: { subscribe: true },
};
export const repeatedly = notify => setInterval(notify, 300).unref();

// State shared by all connections of the process.
const shared = { notice: 'Nothing to announce.', brokenOff: 0 };

const text = text => ({ content: [{ type: 'text', text }] });
const message = text => ({ role: 'user', content: { type: 'text', text } });
const starting = (words, typed) => words.filter(word => word.toLowerCase().startsWith(typed.toLowerCase()));

export function tour(server, sdk) {
  const tool = (name, description, input, handler, more = {}) =>
    server.registerTool(name, { description, inputSchema: sdk.shape(input), ...more }, handler);

  tool('whoami', 'Which replica answers', {}, () => text('replica typescript'));
  tool('echo', 'Returns its argument', { text: z.string() }, ({ text: given }) => text(given));
  tool(
    'add',
    'Adds two whole numbers',
    { a: z.int(), b: z.int() },
    ({ a, b }) => ({ ...text(JSON.stringify({ sum: a + b })), structuredContent: { sum: a + b } }),
    { outputSchema: sdk.shape({ sum: z.int() }) },
  );
  tool('fail', 'Fails', { reason: z.string().optional(), kind: z.enum(['tool', 'protocol']).optional() }, given => {
    if (given.kind === 'protocol') throw sdk.protocolError(-32602, given.reason);
    return { ...text(`This tool failed: ${given.reason}`), isError: true };
  });
  tool('countdown', 'Counts down', { pause_ms: z.int().optional() }, async ({ pause_ms = 20 }, ctx) => {
    const progressToken = sdk.token(ctx);
    for (let done = 0; done <= 10; done += 1) {
      const message = done === 10 ? 'lift-off' : `${10 - done} to go`;
      const params = { progressToken, progress: done, total: 10, message };
      if (progressToken !== undefined) await sdk.notify(ctx, { method: 'notifications/progress', params });
      if (done < 10) await new Promise(yes => setTimeout(yes, pause_ms));
    }
    return text('Counted down from 10.');
  });
  tool('chatter', 'Sends a log message of every level', {}, async (_, ctx) => {
    for (const level of LEVELS) await sdk.log(ctx, level, `this is a message of level ${level}`);
    // v1 does not send them on the stream of the call, so an immediate response would race them.
    await new Promise(yes => setTimeout(yes, 100));
    return text('Said everything there is to say.');
  });
  tool('nap', 'Sleeps', { seconds: z.number() }, async ({ seconds }, ctx) => {
    const signal = sdk.signal(ctx);
    await new Promise(yes => {
      const timer = setTimeout(yes, seconds * 1000);
      signal.addEventListener('abort', () => {
        clearTimeout(timer);
        shared.brokenOff += 1;
        yes();
      });
    });
    return text(`Slept for ${seconds} s.`);
  });
  tool('book_table', 'Asks the user when and for how many', { restaurant: z.string() }, ({ restaurant }, ctx) => {
    const params = {
      mode: 'form',
      message: `When and for how many shall ${restaurant} expect you?`,
      requestedSchema: {
        type: 'object',
        properties: { date: { type: 'string', format: 'date' }, guests: { type: 'integer', minimum: 1 } },
        required: ['date', 'guests'],
      },
    };
    return sdk.ask(ctx, { method: 'elicitation/create', params }, ({ action, content }) =>
      action === 'accept'
        ? text(`A table for ${content.guests} at ${restaurant} on ${content.date}, inside.`)
        : text(`Nothing was booked: ${action}.`),
    );
  });
  tool('ask_model', 'Asks the model of the client', { question: z.string() }, ({ question }, ctx) => {
    const params = { messages: [message(question)], maxTokens: 100 };
    return sdk.ask(ctx, { method: 'sampling/createMessage', params }, ({ content }) =>
      text(`The model says: ${[content].flat()[0].text}`),
    );
  });
  tool('show_roots', 'Asks where the client works', {}, (_, ctx) =>
    sdk.ask(ctx, { method: 'roots/list' }, ({ roots }) => text(roots.map(root => root.uri).join(', '))),
  );
  tool('surprise', 'Changes the list of tools', { show: z.boolean() }, () => text('Listeners are notified anyway.'));
  tool('post_notice', 'Changes the notice', { text: z.string() }, ({ text: notice }) => {
    shared.notice = notice;
    return text(`Posted at ${NOTICE}.`);
  });

  const resource = (name, uri, read) =>
    server.registerResource(name, uri, { mimeType: 'text/plain' }, url => ({
      contents: [{ uri: url.href, mimeType: 'text/plain', text: read() }],
    }));
  resource('notice', NOTICE, () => shared.notice);
  resource('naps', 'demo://naps', () => `${shared.brokenOff} naps were broken off.`);
  const complete = { country: typed => starting(Object.keys(CAPITALS), typed) };
  const template = new sdk.ResourceTemplate('demo://capitals/{country}', { list: undefined, complete });
  server.registerResource('capital', template, { mimeType: 'text/plain' }, (url, { country }) => {
    if (!(country in CAPITALS)) throw sdk.notFound(url.href);
    return { contents: [{ uri: url.href, mimeType: 'text/plain', text: CAPITALS[country] }] };
  });

  const argsSchema = sdk.shape({
    name: z.string(),
    language: sdk.suggesting(typed => starting(LANGUAGES, typed)),
    tone: z.string().optional(),
  });
  server.registerPrompt('greet', { description: 'Has the model write a greeting', argsSchema }, given => ({
    messages: [
      message(`Write a ${given.tone ?? 'friendly'} greeting to ${given.name}, in ${given.language ?? 'English'}.`),
    ],
  }));
  server.registerPrompt('explain_demo', { description: 'Explains this server' }, () => ({
    messages: [message('Which of these tools should I try first?')],
  }));
  sdk.listPrompts(server.server, page);
  return server;
}

// One prompt per page: these SDKs do not paginate themselves.
const PROMPTS = [
  {
    name: 'greet',
    description: 'Has the model write a greeting',
    arguments: [{ name: 'name', required: true }, { name: 'language' }, { name: 'tone' }],
  },
  { name: 'explain_demo', description: 'Explains this server' },
];

function page(request) {
  const at = Number(request.params?.cursor ?? 0);
  const prompts = PROMPTS.slice(at, at + 1);
  return at + 1 < PROMPTS.length ? { prompts, nextCursor: String(at + 1) } : { prompts };
}
