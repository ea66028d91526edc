"""The checks of a client, for both generations of the Python SDK; the tour is described in ../README.md.

An adapter provides what differs: `era`, `version`, `name`, the calls under their v2 names, `Refused` (the error type),
`messages` (log messages so far), `logs(level)`, and `changes(uri)`, a context that yields the set of received events.
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


def ensure(condition, found):
    if not condition:
        raise AssertionError(f"unexpected: {found}")


async def until(condition):
    """Waits up to two seconds for a condition: notification handlers run concurrently with the call."""
    for _ in range(200):
        if condition():
            return
        await asyncio.sleep(0.01)


def text_of(result):
    return result.content[0].text


def model_answer(message):
    """Returns the answer of the model of this client."""
    content = message.content[0] if isinstance(message.content, list) else message.content
    return f"You asked: {content.text}"


class Checks:
    """The checks are the methods in ALL. Their docstrings are the names of the checks."""

    def __init__(self, client):
        self.client = client
        self.modern = client.era == "modern"

    async def refused(self, work):
        try:
            await work
        except self.client.Refused as error:
            return error.error.code
        raise AssertionError("it was not rejected")

    async def read(self, uri):
        return (await self.client.read_resource(uri)).contents[0].text

    async def all_pages(self, list_page, member):
        """Returns all entries of a list, and the number of pages."""
        found, cursor, pages = [], None, 0
        while cursor is not None or pages == 0:
            page, cursor = await list_page(member, cursor)
            found.extend(page)
            pages += 1
        return found, pages

    async def connect(self):
        """connect"""
        version = self.client.version
        ensure((version == "2026-07-28") == self.modern, version)
        return f"{self.client.name}, {version}"

    async def ping(self):
        """ping"""
        if self.modern:
            return None
        await self.client.ping()
        return "answered"

    async def list_tools(self):
        """list tools"""
        tools, _ = await self.all_pages(self.client.page, "tools")
        by_name = {tool.name: tool for tool in tools}
        ensure({"whoami", "add", "countdown"} <= set(by_name), list(by_name))
        schema = self.client.output_schema(by_name["add"])
        ensure(schema["properties"]["sum"]["type"] == "integer", schema)
        return f"{len(tools)} tools"

    async def pagination(self):
        """pagination"""
        tools, tool_pages = await self.all_pages(self.client.page, "tools")
        prompts, prompt_pages = await self.all_pages(self.client.page, "prompts")
        pages = tool_pages + prompt_pages
        ensure(pages > 2, f"{pages} pages")
        ensure(len({tool.name for tool in tools}) == len(tools), tools)
        ensure(sorted(prompt.name for prompt in prompts) == ["explain_demo", "greet"], prompts)
        return f"{len(tools)} tools and {len(prompts)} prompts on {pages} pages"

    async def call(self):
        """call"""
        result = await self.client.call_tool("whoami", {})
        ensure(text_of(result).startswith("replica "), result)
        return text_of(result)

    async def structured(self):
        """call, structured output"""
        found = self.client.structured(await self.client.call_tool("add", {"a": 2, "b": 40}))
        ensure(found == {"sum": 42}, found)
        return json.dumps(found)

    async def floats(self):
        """call, floats for integers"""
        found = self.client.structured(await self.client.call_tool("add", {"a": 2.0, "b": 40.0}))
        ensure(found == {"sum": 42}, found)
        return json.dumps(found)

    async def header(self):
        """call, argument in a header"""
        output = text_of(await self.client.call_tool("query", {"region": "eu-süd 1", "text": "rain"}))
        ensure(output.startswith("rain asked in eu-süd 1"), output)
        return output

    async def tool_error(self):
        """tool's own error"""
        result = await self.client.call_tool("fail", {"reason": "on purpose"})
        ensure(self.client.is_error(result) and "on purpose" in text_of(result), result)
        return "isError: true"

    async def protocol_error(self):
        """protocol error"""
        code = await self.refused(self.client.call_tool("fail", {"kind": "protocol", "reason": "on purpose"}))
        ensure(code == -32602, code)
        return f"code {code}"

    async def unknown_tool(self):
        """unknown tool"""
        code = await self.refused(self.client.call_tool("no_such_tool", {}))
        ensure(code == -32602, code)
        return f"code {code}"

    async def progress(self):
        """progress notifications"""
        seen = []

        async def note(done, total, message):
            seen.append((done, total, message))

        result = await self.client.call_tool("countdown", {"pause_ms": 20}, progress_callback=note)
        ensure(text_of(result) == "Counted down from 10.", result)
        await until(lambda: len(seen) == 11)
        ensure([done for done, _, _ in seen] == list(range(11)), seen)
        ensure(seen[-1] == (10, 10, "lift-off"), seen)
        return f"{len(seen)} notifications"

    async def log(self):
        """log messages"""
        self.client.messages.clear()
        await self.client.logs("notice", "chatter")
        await until(lambda: len(self.client.messages) >= 6)
        levels = [message.level for message in self.client.messages if message.level in str(message.data)]
        ensure(levels == LEVELS, levels)
        return f"{len(levels)} messages from level notice on"

    async def resources(self):
        """list resources and templates"""
        resources, _ = await self.all_pages(self.client.page, "resources")
        ensure(NOTICE in [str(resource.uri) for resource in resources], resources)
        templates, _ = await self.all_pages(self.client.page, "templates")
        ensure(any("capitals" in self.client.uri_template(template) for template in templates), templates)
        return f"{len(resources)} resources, {len(templates)} templates"

    async def read_resources(self):
        """read resources"""
        found = await self.read("demo://capitals/norway")
        ensure(found == "Oslo", found)
        code = await self.refused(self.client.read_resource("demo://no-such-thing"))
        ensure(code == (-32602 if self.modern else -32002), code)
        return f"{found}; unknown: code {code}"

    async def prompts(self):
        """get prompts"""
        result = await self.client.get_prompt("greet", {"name": "Ada", "tone": "formal"})
        output = result.messages[0].content.text
        ensure("formal greeting to Ada" in output, output)
        return output

    async def complete(self):
        """complete"""
        values = (await self.client.complete("greet", "language", "F")).completion.values
        ensure(values == ["Finnish", "French"], values)
        return ", ".join(values)

    async def elicitation(self):
        """elicitation"""
        output = text_of(await self.client.call_tool("book_table", {"restaurant": "Noma"}))
        ensure("table for 4 at Noma on 2026-08-01" in output, output)
        return output

    async def sampling(self):
        """sampling"""
        output = text_of(await self.client.call_tool("ask_model", {"question": "What is red?"}))
        ensure(output == "The model says: You asked: What is red?", output)
        return output

    async def roots(self):
        """roots"""
        output = text_of(await self.client.call_tool("show_roots", {}))
        ensure(output == ", ".join(ROOTS), output)
        return output

    async def cancellation(self):
        """cancellation"""

        async def count():
            return int((await self.read("demo://naps")).split()[0])

        before = await count()
        await self.client.cancel("nap", {"seconds": 30}, 0.3)
        for _ in range(100):
            if await count() != before:
                break
            await asyncio.sleep(0.05)
        ensure(await count() == before + 1, await count())
        return "the server counts one more interrupted nap"

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
                ensure(events >= {"tools", "notice"}, events)
        finally:
            await self.client.call_tool("surprise", {"show": False})
        found = await self.read(NOTICE)
        ensure(found == words, found)
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
                detail, ok = await asyncio.wait_for(check(self), LIMIT), True
            except Exception as error:  # reported as the detail of the check
                ok, detail = False, f"{type(error).__name__}: {error}"
            # A check returns None if the era lacks the feature.
            if detail is not None:
                print(json.dumps({"check": check.__doc__, "ok": ok, "detail": detail}), flush=True)
