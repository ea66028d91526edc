"""A server on the Python SDK v1. usage: server_v1.py http PORT | stdio"""

import asyncio

import mcp.types as types
from mcp.server.fastmcp import Context, FastMCP
from mcp.server.fastmcp.exceptions import HandlerError
from mcp.server.lowlevel import NotificationOptions
from mcp.server.lowlevel import server as lowlevel
from mcp.server.session import ServerSession
from mcp.shared.exceptions import McpError

import tour

server = FastMCP("interop-python-v1", instructions=tour.INSTRUCTIONS, log_level="ERROR")
# Only the low-level server supports log levels, subscriptions and pagination.
low = server._mcp_server
listeners = tour.Listeners(low, NotificationOptions(tools_changed=True))


def refuse(code, message):
    return McpError(types.ErrorData(code=code, message=message))


tour.tour(server, Context, refuse, HandlerError)


@server.tool(structured_output=False)
async def chatter(ctx: Context) -> str:
    """Sends a log message of every level"""
    # With this SDK the server has to apply the level.
    for level in listeners.levels():
        output = f"this is a message of level {level}"
        await ctx.session.send_log_message(level, output, "chatter", related_request_id=ctx.request_id)
    return "Said everything there is to say."


@server.tool(structured_output=False)
async def book_table(restaurant: str, ctx: Context) -> str:
    """Asks the user when and for how many"""
    answer = await ctx.elicit(f"When and for how many shall {restaurant} expect you?", tour.Booking)
    return tour.booked(restaurant, answer.action, getattr(answer, "data", None))


@server.tool(structured_output=False)
async def ask_model(question: str, ctx: Context) -> str:
    """Asks the model of the client"""
    asked = types.SamplingMessage(role="user", content=types.TextContent(type="text", text=question))
    answer = await ctx.session.create_message([asked], max_tokens=100)
    return f"The model says: {answer.content.text}"


@server.tool(structured_output=False)
async def show_roots(ctx: Context) -> str:
    """Asks where the client works"""
    return ", ".join(str(root.uri) for root in (await ctx.session.list_roots()).roots)


@server.completion()
async def complete(_reference, argument, _context):
    return types.Completion(values=tour.suggested(argument))


@low.set_logging_level()
async def set_logging_level(level):
    listeners.level = level


@low.subscribe_resource()
async def subscribe_resource(_uri):
    listeners.notice = low.request_context.session


@low.unsubscribe_resource()
async def unsubscribe_resource(_uri):
    listeners.notice = None


all_pages = server.list_prompts


@low.list_prompts()
async def list_prompts(request: types.ListPromptsRequest) -> types.ListPromptsResult:
    cursor = request.params.cursor if request.params else None
    prompts, following = tour.page(await all_pages(), cursor)
    return types.ListPromptsResult(prompts=prompts, nextCursor=following)


class Session(ServerSession):
    """Registers the session for changes of the tool list after the handshake."""

    async def _received_notification(self, notification):
        await super()._received_notification(notification)
        if isinstance(notification.root, types.InitializedNotification):
            listeners.tools.add(self)


# There is no other way to detect a connection before its first request.
lowlevel.ServerSession = Session


async def main(work):
    async with tour.background(listeners.notify_repeatedly()):
        await work


def run(transport, port=0):
    server.settings.port = port
    work = server.run_stdio_async() if transport == "stdio" else server.run_streamable_http_async()
    asyncio.run(main(work))


if __name__ == "__main__":
    tour.start("interop-python-v1", __doc__, run)
