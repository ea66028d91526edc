"""The Python SDK v1's client. usage: client_v1.py legacy http URL | legacy stdio COMMAND [ARG...]"""

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta

import mcp.types as types
from mcp import ClientSession, McpError, StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

import checks


async def booked(_context, params):
    checks.ensure("expect you" in params.message, params.message)
    return types.ElicitResult(action="accept", content={"date": "2026-08-01", "guests": 4})


async def model(_context, params):
    text = types.TextContent(type="text", text=checks.model_answer(params.messages[0]))
    return types.CreateMessageResult(role="assistant", model="interop-model", content=text)


async def roots(_context):
    return types.ListRootsResult(roots=[types.Root(uri=uri, name=name) for uri, name in checks.ROOTS.items()])


class Adapter:
    era = "legacy"
    Refused = McpError

    def __init__(self, session, found, messages, events):
        self.session, self.messages, self.events = session, messages, events
        self.version, self.name = found.protocolVersion, found.serverInfo.name
        self.call_tool, self.read_resource, self.get_prompt = session.call_tool, session.read_resource, session.get_prompt
        self.ping = session.send_ping

    async def page(self, member, cursor):
        lists = {
            "tools": self.session.list_tools,
            "prompts": self.session.list_prompts,
            "resources": self.session.list_resources,
            "templates": self.session.list_resource_templates,
        }
        found = await lists[member](params=types.PaginatedRequestParams(cursor=cursor))
        return getattr(found, {"templates": "resourceTemplates"}.get(member, member)), found.nextCursor

    async def complete(self, prompt, name, value):
        ref = types.PromptReference(type="ref/prompt", name=prompt)
        return await self.session.complete(ref, {"name": name, "value": value})

    async def logs(self, level, tool):
        await self.session.set_logging_level(level)
        return await self.session.call_tool(tool, {})

    async def cancel(self, tool, arguments, seconds):
        # This SDK sends no notification when a call is cancelled, so this sends it, with the id of the next request.
        call = types.CallToolRequest(params=types.CallToolRequestParams(name=tool, arguments=arguments))
        number = self.session._request_id
        limit = timedelta(seconds=10)
        sent = self.session.send_request(types.ClientRequest(call), types.CallToolResult, limit)
        task = asyncio.create_task(sent)
        await asyncio.sleep(seconds)
        note = types.CancelledNotification(params=types.CancelledNotificationParams(requestId=number))
        await self.session.send_notification(types.ClientNotification(note))
        task.cancel()
        await asyncio.wait([task], timeout=5)

    @asynccontextmanager
    async def changes(self, uri):
        self.events.clear()
        await self.session.subscribe_resource(uri)
        yield self.events
        await self.session.unsubscribe_resource(uri)

    def structured(self, result):
        return result.structuredContent

    def is_error(self, result):
        return result.isError

    def output_schema(self, tool):
        return tool.outputSchema

    def uri_template(self, template):
        return template.uriTemplate


async def main():
    _, server, args = checks.target(__doc__)
    messages, events = [], set()

    async def log(params):
        messages.append(params)

    async def note(message):
        match getattr(message, "root", None):
            case types.ToolListChangedNotification():
                events.add("tools")
            case types.ResourceUpdatedNotification():
                events.add("notice")

    server = StdioServerParameters(command=server, args=args or [])
    async with streamable_http_client(server) if args is None else stdio_client(server) as (read, write, *_):
        session = ClientSession(
            read,
            write,
            elicitation_callback=booked,
            sampling_callback=model,
            list_roots_callback=roots,
            logging_callback=log,
            message_handler=note,
        )
        async with session:
            found = await asyncio.wait_for(session.initialize(), checks.LIMIT)
            await checks.Checks(Adapter(session, found, messages, events)).run()


asyncio.run(main())
