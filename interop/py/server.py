"""A small server on the Python SDK. usage: server.py http PORT | stdio"""

import asyncio
import sys
from contextlib import asynccontextmanager

from pydantic import BaseModel

from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.subscriptions import InMemorySubscriptionBus
from mcp.shared.subscriptions import ToolsListChanged

bus = InMemorySubscriptionBus()


async def tell():
    while True:
        await asyncio.sleep(0.3)
        await bus.publish(ToolsListChanged())


@asynccontextmanager
async def telling(_server):
    """Whoever listens hears of changes of the list of tools again and again."""
    task = asyncio.create_task(tell())
    try:
        yield
    finally:
        task.cancel()


server = MCPServer(
    "interop-python",
    version="1.0.0",
    instructions="A server of the interop run.",
    log_level="ERROR",
    lifespan=telling,
    subscriptions=bus,
)


class Sum(BaseModel):
    sum: int


@server.tool(structured_output=False)
def echo(text: str) -> str:
    """Gives back what it was given"""
    return text


@server.tool()
def add(a: int, b: int) -> Sum:
    """Adds two whole numbers"""
    return Sum(sum=a + b)


@server.tool(structured_output=False)
async def count(to: int, ctx: Context) -> str:
    """Counts and reports its progress"""
    # Without a token the SDK reports to nobody, and does not say so.
    asked = "progress_token" in (ctx.request_context.meta or {})
    for done in range(1, to + 1):
        await ctx.report_progress(done, to, f"at {done}")
    return f"counted to {to}, told {to if asked else 0} times"


@server.tool(structured_output=False)
def fail() -> str:
    """Fails"""
    raise ToolError("this tool always fails")


@server.resource("note://hello", name="hello", mime_type="text/plain")
def hello() -> str:
    return "hello from python"


@server.prompt()
def greet(name: str) -> str:
    """Has the model write a greeting"""
    return f"Greet {name}."


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["http", port]:
            # Its defaults: it answers with an event stream.
            server.run("streamable-http", host="127.0.0.1", port=int(port))
        case ["stdio"]:
            # Real servers chat on standard error before they answer anything.
            print("interop-python is up", file=sys.stderr, flush=True)
            server.run("stdio")
        case _:
            sys.exit(__doc__)
