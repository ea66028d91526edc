"""A server on the Python SDK v2, for both eras. usage: server_v2.py http PORT | stdio"""

import asyncio
from typing import Annotated

import mcp_types as types
from mcp import MCPError
from mcp.server import MCPServer
from mcp.server.elicitation import ElicitationResult
from mcp.server.lowlevel import NotificationOptions
from mcp.server.mcpserver import Context, Elicit, ListRoots, Resolve, Sample
from mcp.server.mcpserver.exceptions import HandlerError
from mcp.server.subscriptions import InMemorySubscriptionBus
from mcp.shared.subscriptions import ResourceUpdated, ToolsListChanged

import tour

bus = InMemorySubscriptionBus()
server = MCPServer(
    "interop-python-v2", version="1.0.0", instructions=tour.INSTRUCTIONS, log_level="ERROR", subscriptions=bus
)
# Only the low-level server supports legacy log levels, legacy subscriptions and pagination.
low = server._lowlevel_server
listeners = tour.Listeners(low, NotificationOptions(tools_changed=True))
tour.tour(server, Context, MCPError, HandlerError)


@server.tool(structured_output=False)
async def chatter(ctx: Context) -> str:
    """Sends a log message of every level"""
    # In the modern era the SDK applies the level; in the legacy era the server has to.
    for level in listeners.levels():
        await ctx.log(level, f"this is a message of level {level}", logger_name="chatter")
    return "Said everything there is to say."


def when(restaurant: str) -> Elicit[tour.Booking]:
    return Elicit(f"When and for how many shall {restaurant} expect you?", tour.Booking)


@server.tool(structured_output=False)
def book_table(restaurant: str, answer: Annotated[ElicitationResult[tour.Booking], Resolve(when)]) -> str:
    """Asks the user when and for how many"""
    return tour.booked(restaurant, answer.action, getattr(answer, "data", None))


def ask(question: str) -> Sample:
    asked = types.SamplingMessage(role="user", content=types.TextContent(type="text", text=question))
    return Sample([asked], max_tokens=100)


@server.tool(structured_output=False)
def ask_model(question: str, answer: Annotated[types.CreateMessageResult, Resolve(ask)]) -> str:
    """Asks the model of the client"""
    return f"The model says: {answer.content.text}"


def where() -> ListRoots:
    return ListRoots()


@server.tool(structured_output=False)
def show_roots(answer: Annotated[types.ListRootsResult, Resolve(where)]) -> str:
    """Asks where the client works"""
    return ", ".join(str(root.uri) for root in answer.roots)


@server.completion()
async def complete(_reference, argument, _context):
    return types.Completion(values=tour.suggested(argument))


async def set_level(_ctx, params):
    listeners.level = params.level
    return types.EmptyResult()


async def subscribe(ctx, _params):
    listeners.notice = ctx.session
    return types.EmptyResult()


async def unsubscribe(_ctx, _params):
    listeners.notice = None
    return types.EmptyResult()


async def list_prompts(_ctx, params):
    prompts, following = tour.page(await server.list_prompts(), params.cursor if params else None)
    return types.ListPromptsResult(prompts=prompts, next_cursor=following)


low.add_request_handler("logging/setLevel", types.SetLevelRequestParams, set_level)
low.add_request_handler("resources/subscribe", types.SubscribeRequestParams, subscribe)
low.add_request_handler("resources/unsubscribe", types.UnsubscribeRequestParams, unsubscribe)
low.add_request_handler("prompts/list", types.PaginatedRequestParams, list_prompts)


async def remember(ctx, call_next):
    """Registers a session for changes of the tool list after the handshake."""
    if ctx.method == "notifications/initialized":
        listeners.tools.add(ctx.session)
    return await call_next(ctx)


server.middleware.append(remember)


async def publish():
    while True:
        await asyncio.sleep(0.3)
        await bus.publish(ToolsListChanged())
        await bus.publish(ResourceUpdated(uri=tour.NOTICE))


async def main(work):
    async with tour.background(publish(), listeners.notify_repeatedly()):
        await work


def run(transport, port=0):
    work = server.run_stdio_async() if transport == "stdio" else server.run_streamable_http_async(port=port)
    asyncio.run(main(work))


if __name__ == "__main__":
    tour.start("interop-python-v2", __doc__, run)
