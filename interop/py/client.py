"""The Python SDK's client against carryall's demo. usage: client.py http URL | stdio COMMAND [ARG...]

Prints one line of JSON per check: {"check": ..., "ok": ..., "says": ...}.
"""

import asyncio
import json
import sys

import mcp_types as types
from mcp import Client, MCPError
from mcp.client.stdio import StdioServerParameters
from mcp.client.subscriptions import ResourceUpdated, ToolsListChanged

LIMIT = 20
NOTICE = "demo://notice"


async def check(name, work):
    try:
        says = await asyncio.wait_for(work, LIMIT)
        ok = True
    except Exception as error:  # whatever it is, it is what this check has to say
        ok, says = False, f"{type(error).__name__}: {error}"
    print(json.dumps({"check": name, "ok": ok, "says": says}), flush=True)


def want(condition, found):
    if not condition:
        raise AssertionError(f"unexpected: {found}")


async def refused(work):
    try:
        await work
    except MCPError as error:
        return error
    raise AssertionError("it was not refused")


async def booked(_context, params):
    want("expect you" in params.message, params.message)
    return types.ElicitResult(action="accept", content={"date": "2026-08-01", "guests": 4})


async def discover(client):
    want(client.protocol_version == "2026-07-28", client.protocol_version)
    want(client.server_info.name == "carryall-demo", client.server_info)
    return f"{client.server_info.name}, {client.protocol_version}"


async def list_tools(client):
    names = [tool.name for tool in (await client.list_tools()).tools]
    want({"whoami", "add", "countdown"} <= set(names), names)
    return f"{len(names)} tools"


async def call_text(client):
    result = await client.call_tool("whoami")
    text = result.content[0].text
    want(text.startswith("replica ") and not result.is_error, text)
    return text


async def call_structured(client):
    result = await client.call_tool("add", {"a": 2, "b": 40})
    want(result.structured_content == {"sum": 42}, result.structured_content)
    return json.dumps(result.structured_content)


async def call_header(client):
    text = (await client.call_tool("query", {"region": "eu-süd 1", "text": "rain"})).content[0].text
    want(text.startswith("rain asked in eu-süd 1"), text)
    return text


async def tool_error(client):
    result = await client.call_tool("fail", {"reason": "on purpose"})
    want(result.is_error and "on purpose" in result.content[0].text, result)
    return "isError: true"


async def protocol_error(client):
    error = await refused(client.call_tool("fail", {"kind": "protocol", "reason": "on purpose"}))
    want(error.code == -32602, error)
    return f"code {error.code}"


async def unknown_tool(client):
    error = await refused(client.call_tool("no_such_tool"))
    want(error.code == -32602, error)
    return f"code {error.code}"


async def progress(client):
    seen = []

    async def note(done, total, message):
        seen.append((done, total, message))

    result = await client.call_tool("countdown", {"from": 3, "pause_ms": 20}, progress_callback=note)
    want(result.content[0].text == "Counted down from 3.", result)
    want([done for done, _, _ in seen] == [0, 1, 2, 3], seen)
    want(seen[-1] == (3, 3, "lift-off"), seen)
    return f"{len(seen)} notifications"


async def resources(client):
    uris = [str(resource.uri) for resource in (await client.list_resources()).resources]
    want(NOTICE in uris, uris)
    templates = (await client.list_resource_templates()).resource_templates
    want(any("capitals" in template.uri_template for template in templates), templates)
    return f"{len(uris)} resources, {len(templates)} templates"


async def read(client):
    text = (await client.read_resource("demo://capitals/norway")).contents[0].text
    want(text == "Oslo", text)
    error = await refused(client.read_resource("demo://no-such-thing"))
    want(error.code == -32602, error)
    return f"{text}; unknown: code {error.code}"


async def prompt(client):
    names = [prompt.name for prompt in (await client.list_prompts()).prompts]
    want("greet" in names, names)
    text = (await client.get_prompt("greet", {"name": "Ada", "tone": "formal"})).messages[0].content.text
    want("formal greeting to Ada" in text, text)
    return text


async def complete(client):
    ref = types.PromptReference(type="ref/prompt", name="greet")
    values = (await client.complete(ref, {"name": "language", "value": "F"})).completion.values
    want(values == ["Finnish", "French"], values)
    return ", ".join(values)


async def rounds(client):
    text = (await client.call_tool("book_table", {"restaurant": "Noma"})).content[0].text
    want("table for 4 at Noma on 2026-08-01" in text, text)
    return text


async def listen(client):
    try:
        async with client.listen(tools_list_changed=True, resource_subscriptions=[NOTICE]) as subscription:
            want(subscription.honored.tools_list_changed, subscription.honored)
            await client.call_tool("surprise", {"show": True})
            await client.call_tool("post_notice", {"text": "from Python"})
            events = set()
            while events < {"tools", "notice"}:
                match await anext(subscription):
                    case ToolsListChanged():
                        events.add("tools")
                    case ResourceUpdated(uri=uri):
                        want(uri == NOTICE, uri)
                        events.add("notice")
    finally:
        await client.call_tool("surprise", {"show": False})
    text = (await client.read_resource(NOTICE)).contents[0].text
    want(text == "from Python", text)
    return "acknowledged; list changed, resource updated"


async def main():
    match sys.argv[1:]:
        case ["http", url]:
            server = url
        case ["stdio", command, *args]:
            server = StdioServerParameters(command=command, args=args)
        case _:
            sys.exit(__doc__)
    # `auto` asks `server/discover` first and falls back to the old handshake: it must not have to.
    async with Client(server, mode="auto", elicitation_callback=booked) as client:
        await check("discover", discover(client))
        await check("list tools", list_tools(client))
        await check("call", call_text(client))
        await check("call, structured output", call_structured(client))
        await check("call, argument in a header", call_header(client))
        await check("tool's own error", tool_error(client))
        await check("protocol error", protocol_error(client))
        await check("unknown tool", unknown_tool(client))
        await check("progress notifications", progress(client))
        await check("list resources and templates", resources(client))
        await check("read resources", read(client))
        await check("list and get prompts", prompt(client))
        await check("complete", complete(client))
        await check("input required (two rounds)", rounds(client))
        await check("subscriptions/listen", listen(client))


asyncio.run(main())
