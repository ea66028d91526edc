"""The Python SDK v2's client. usage: client_v2.py ERA http URL | ERA stdio COMMAND [ARG...]"""

import asyncio
from contextlib import asynccontextmanager

import mcp_types as types
from mcp import Client, MCPError
from mcp.client.stdio import StdioServerParameters
from mcp.client.subscriptions import ResourceUpdated, ToolsListChanged

import checks

LOG_LEVEL = "io.modelcontextprotocol/logLevel"


async def booked(_context, params):
    checks.ensure("expect you" in params.message, params.message)
    return types.ElicitResult(action="accept", content={"date": "2026-08-01", "guests": 4})


async def model(_context, params):
    text = types.TextContent(type="text", text=checks.model_answer(params.messages[0]))
    return types.CreateMessageResult(role="assistant", model="interop-model", content=text)


async def roots(_context):
    return types.ListRootsResult(roots=[types.Root(uri=uri, name=name) for uri, name in checks.ROOTS.items()])


class Adapter:
    Refused = MCPError

    def __init__(self, era, client, messages, events):
        self.era, self.client, self.messages, self.events = era, client, messages, events
        self.version, self.name = client.protocol_version, client.server_info.name
        self.call_tool, self.read_resource, self.get_prompt = client.call_tool, client.read_resource, client.get_prompt
        self.ping = client.send_ping

    async def page(self, member, cursor):
        lists = {
            "tools": self.client.list_tools,
            "prompts": self.client.list_prompts,
            "resources": self.client.list_resources,
            "templates": self.client.list_resource_templates,
        }
        found = await lists[member](cursor=cursor)
        return getattr(found, {"templates": "resource_templates"}.get(member, member)), found.next_cursor

    async def complete(self, prompt, name, value):
        ref = types.PromptReference(type="ref/prompt", name=prompt)
        return await self.client.complete(ref, {"name": name, "value": value})

    async def logs(self, level, tool):
        if self.era == "modern":
            return await self.client.call_tool(tool, {}, meta={LOG_LEVEL: level})
        await self.client.set_logging_level(level)
        return await self.client.call_tool(tool, {})

    async def cancel(self, tool, arguments, seconds):
        task = asyncio.create_task(self.client.call_tool(tool, arguments))
        await asyncio.sleep(seconds)
        task.cancel()
        await asyncio.wait([task], timeout=5)

    @asynccontextmanager
    async def changes(self, uri):
        self.events.clear()
        if self.era == "legacy":
            await self.client.subscribe_resource(uri)
            yield self.events
            await self.client.unsubscribe_resource(uri)
            return
        async with self.client.listen(tools_list_changed=True, resource_subscriptions=[uri]) as subscription:
            checks.ensure(subscription.honored.tools_list_changed, subscription.honored)
            task = asyncio.create_task(self.receive_events(subscription, uri))
            yield self.events
            task.cancel()

    async def receive_events(self, subscription, uri):
        async for event in subscription:
            match event:
                case ToolsListChanged():
                    self.events.add("tools")
                case ResourceUpdated(uri=found) if found == uri:
                    self.events.add("notice")

    def structured(self, result):
        return result.structured_content

    def is_error(self, result):
        return result.is_error

    def output_schema(self, tool):
        return tool.output_schema

    def uri_template(self, template):
        return template.uri_template


async def main():
    era, server, args = checks.target(__doc__)
    messages, events = [], set()

    async def log(params):
        messages.append(params)

    async def note(message):
        match message:
            case types.ToolListChangedNotification():
                events.add("tools")
            case types.ResourceUpdatedNotification():
                events.add("notice")

    client = Client(
        server if args is None else StdioServerParameters(command=server, args=args),
        # `auto` tries `server/discover` first and falls back to the handshake, which must not be necessary.
        mode="auto" if era == "modern" else "legacy",
        elicitation_callback=booked,
        sampling_callback=model,
        list_roots_callback=roots,
        logging_callback=log,
        message_handler=note,
    )
    async with client:
        await checks.Checks(Adapter(era, client, messages, events)).run()


asyncio.run(main())
