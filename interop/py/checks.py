"""What a client checks, on either generation of the Python SDK; the tour is in ../README.md.

A client has what differs as members: `era`, `version`, `name`, the calls under the names of v2, `Refused` (its error),
`messages` (log messages so far), `logs(level)`, and `changes(uri)`, a context in which `heard` is filled.
"""

import asyncio
import json
import sys

LIMIT = 20
NOTICE = "demo://notice"
LEVELS = ["notice", "warning", "error", "critical", "alert", "emergency"]
ROOTS = {"file:///home/ada/one": "one", "file:///home/ada/two": None}


def target(doc):
    match sys.argv[1:]:
        case ["modern" | "legacy" as era, "http", url]:
            return era, url, None
        case ["modern" | "legacy" as era, "stdio", command, *args]:
            return era, command, args
        case _:
            sys.exit(doc)


def want(condition, found):
    if not condition:
        raise AssertionError(f"unexpected: {found}")


async def until(condition):
    """Waits, for two seconds at most: handlers of notifications run beside the call."""
    for _ in range(200):
        if condition():
            return
        await asyncio.sleep(0.01)


def text_of(result):
    return result.content[0].text


def heard(message):
    """What the model of this client says."""
    content = message.content[0] if isinstance(message.content, list) else message.content
    return f"I heard: {content.text}"


class Checks:
    """The methods of ALL are the checks; what they document is their name."""

    def __init__(self, client):
        self.client = client
        self.modern = client.era == "modern"

    async def refused(self, work):
        try:
            await work
        except self.client.Refused as error:
            return error.error.code
        raise AssertionError("it was not refused")

    async def read(self, uri):
        return (await self.client.read_resource(uri)).contents[0].text

    async def whole(self, list_page, member):
        """Every entry of a list, and on how many pages they were."""
        found, cursor, pages = [], None, 0
        while cursor is not None or pages == 0:
            page, cursor = await list_page(member, cursor)
            found.extend(page)
            pages += 1
        return found, pages

    async def connect(self):
        """connect"""
        version = self.client.version
        want((version == "2026-07-28") == self.modern, version)
        return f"{self.client.name}, {version}"

    async def ping(self):
        """ping"""
        if self.modern:
            return None
        await self.client.ping()
        return "answered"

    async def list_tools(self):
        """list tools"""
        tools, _ = await self.whole(self.client.page, "tools")
        by_name = {tool.name: tool for tool in tools}
        want({"whoami", "add", "countdown"} <= set(by_name), list(by_name))
        schema = self.client.output_schema(by_name["add"])
        want(schema["properties"]["sum"]["type"] == "integer", schema)
        return f"{len(tools)} tools"

    async def pagination(self):
        """pagination"""
        tools, tool_pages = await self.whole(self.client.page, "tools")
        prompts, prompt_pages = await self.whole(self.client.page, "prompts")
        pages = tool_pages + prompt_pages
        want(pages > 2, f"{pages} pages")
        want(len({tool.name for tool in tools}) == len(tools), tools)
        want(sorted(prompt.name for prompt in prompts) == ["explain_demo", "greet"], prompts)
        return f"{len(tools)} tools and {len(prompts)} prompts on {pages} pages"

    async def call(self):
        """call"""
        result = await self.client.call_tool("whoami", {})
        want(text_of(result).startswith("replica "), result)
        return text_of(result)

    async def structured(self):
        """call, structured output"""
        found = self.client.structured(await self.client.call_tool("add", {"a": 2, "b": 40}))
        want(found == {"sum": 42}, found)
        return json.dumps(found)

    async def floats(self):
        """call, floats for integers"""
        found = self.client.structured(await self.client.call_tool("add", {"a": 2.0, "b": 40.0}))
        want(found == {"sum": 42}, found)
        return json.dumps(found)

    async def header(self):
        """call, argument in a header"""
        said = text_of(await self.client.call_tool("query", {"region": "eu-süd 1", "text": "rain"}))
        want(said.startswith("rain asked in eu-süd 1"), said)
        return said

    async def tool_error(self):
        """tool's own error"""
        result = await self.client.call_tool("fail", {"reason": "on purpose"})
        want(self.client.is_error(result) and "on purpose" in text_of(result), result)
        return "isError: true"

    async def protocol_error(self):
        """protocol error"""
        code = await self.refused(self.client.call_tool("fail", {"kind": "protocol", "reason": "on purpose"}))
        want(code == -32602, code)
        return f"code {code}"

    async def unknown_tool(self):
        """unknown tool"""
        code = await self.refused(self.client.call_tool("no_such_tool", {}))
        want(code == -32602, code)
        return f"code {code}"

    async def progress(self):
        """progress notifications"""
        seen = []

        async def note(done, total, message):
            seen.append((done, total, message))

        result = await self.client.call_tool("countdown", {"pause_ms": 20}, progress_callback=note)
        want(text_of(result) == "Counted down from 10.", result)
        await until(lambda: len(seen) == 11)
        want([done for done, _, _ in seen] == list(range(11)), seen)
        want(seen[-1] == (10, 10, "lift-off"), seen)
        return f"{len(seen)} notifications"

    async def log(self):
        """log messages"""
        self.client.messages.clear()
        await self.client.logs("notice", "chatter")
        await until(lambda: len(self.client.messages) >= 6)
        levels = [message.level for message in self.client.messages if message.level in str(message.data)]
        want(levels == LEVELS, levels)
        return f"{len(levels)} messages from level notice on"

    async def resources(self):
        """list resources and templates"""
        resources, _ = await self.whole(self.client.page, "resources")
        want(NOTICE in [str(resource.uri) for resource in resources], resources)
        templates, _ = await self.whole(self.client.page, "templates")
        want(any("capitals" in self.client.uri_template(template) for template in templates), templates)
        return f"{len(resources)} resources, {len(templates)} templates"

    async def read_resources(self):
        """read resources"""
        found = await self.read("demo://capitals/norway")
        want(found == "Oslo", found)
        code = await self.refused(self.client.read_resource("demo://no-such-thing"))
        want(code == (-32602 if self.modern else -32002), code)
        return f"{found}; unknown: code {code}"

    async def prompts(self):
        """get prompts"""
        result = await self.client.get_prompt("greet", {"name": "Ada", "tone": "formal"})
        said = result.messages[0].content.text
        want("formal greeting to Ada" in said, said)
        return said

    async def complete(self):
        """complete"""
        values = (await self.client.complete("greet", "language", "F")).completion.values
        want(values == ["Finnish", "French"], values)
        return ", ".join(values)

    async def elicitation(self):
        """elicitation"""
        said = text_of(await self.client.call_tool("book_table", {"restaurant": "Noma"}))
        want("table for 4 at Noma on 2026-08-01" in said, said)
        return said

    async def sampling(self):
        """sampling"""
        said = text_of(await self.client.call_tool("ask_model", {"question": "What is red?"}))
        want(said == "The model says: I heard: What is red?", said)
        return said

    async def roots(self):
        """roots"""
        said = text_of(await self.client.call_tool("show_roots", {}))
        want(said == ", ".join(ROOTS), said)
        return said

    async def cancellation(self):
        """cancellation"""

        async def count():
            return int((await self.read("demo://naps")).split()[0])

        before = await count()
        await self.client.give_up("nap", {"seconds": 30}, 0.3)
        for _ in range(100):
            if await count() != before:
                break
            await asyncio.sleep(0.05)
        want(await count() == before + 1, await count())
        return "the server counts one more nap that was broken off"

    async def changes(self):
        """changes of lists and resources"""
        words = f"from Python {id(self)}"
        try:
            async with self.client.changes(NOTICE) as events:
                await self.client.call_tool("surprise", {"show": True})
                await self.client.call_tool("post_notice", {"text": words})
                for _ in range(LIMIT * 50):
                    if events >= {"tools", "notice"}:
                        break
                    await asyncio.sleep(0.02)
                want(events >= {"tools", "notice"}, events)
        finally:
            await self.client.call_tool("surprise", {"show": False})
        found = await self.read(NOTICE)
        want(found == words, found)
        return "list changed, resource updated"

    ALL = [
        connect,
        ping,
        list_tools,
        pagination,
        call,
        structured,
        floats,
        header,
        tool_error,
        protocol_error,
        unknown_tool,
        progress,
        log,
        resources,
        read_resources,
        prompts,
        complete,
        elicitation,
        sampling,
        roots,
        cancellation,
        changes,
    ]

    async def run(self):
        for check in self.ALL:
            try:
                says, ok = await asyncio.wait_for(check(self), LIMIT), True
            except Exception as error:  # whatever it is, it is what this check has to say
                ok, says = False, f"{type(error).__name__}: {error}"
            # What this era does not have is not checked.
            if says is not None:
                print(json.dumps({"check": check.__doc__, "ok": ok, "says": says}), flush=True)
