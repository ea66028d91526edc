"""The tour (see ../README.md) for the Python SDK, v1 and v2, which differ in the arguments of handlers."""

import asyncio
import sys
from contextlib import asynccontextmanager
from functools import partial

from pydantic import BaseModel

INSTRUCTIONS = "A server of the interop run."
LANGUAGES = ["Danish", "English", "Finnish", "French", "German"]
CAPITALS = {"denmark": "Copenhagen", "finland": "Helsinki", "france": "Paris", "norway": "Oslo"}
LEVELS = ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"]
NOTICE = "demo://notice"


class Shared:
    """State shared by all connections of the process."""

    notice = "Nothing to announce."
    broken_off = 0


class Sum(BaseModel):
    sum: int


class Booking(BaseModel):
    date: str
    guests: int


def booked(restaurant, action, content):
    if action != "accept":
        return f"Nothing was booked: {action}."
    return f"A table for {content.guests} at {restaurant} on {content.date}, inside."


class Listeners:
    """Notifies legacy connections of changes repeatedly."""

    def __init__(self, low, options):
        self.tools = set()
        self.notice = None
        self.level = "debug"
        # Neither generation has a public API for this.
        low.create_initialization_options = partial(low.create_initialization_options, options)

    def levels(self):
        return LEVELS[LEVELS.index(self.level) :]

    async def notify_repeatedly(self):
        while True:
            await asyncio.sleep(0.3)
            for session in list(self.tools):
                if not await send(session.send_tool_list_changed()):
                    self.tools.discard(session)
            if self.notice and not await send(self.notice.send_resource_updated(NOTICE)):
                self.notice = None


async def send(work):
    """Sends a notification and returns whether the client was still connected."""
    try:
        await work
    except Exception:  # any error means that the client is gone
        return False
    return True


@asynccontextmanager
async def background(*work):
    """Runs coroutines in the background for the duration of the context."""
    tasks = [asyncio.create_task(one) for one in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()


def tour(server, Context, ProtocolError, HandlerError):
    """Registers what both generations of the SDK register in the same way."""

    @server.tool(structured_output=False)
    def whoami() -> str:
        """Which replica answers"""
        return "replica python"

    @server.tool(structured_output=False)
    def echo(text: str) -> str:
        """Returns its argument"""
        return text

    @server.tool()
    def add(a: int, b: int) -> Sum:
        """Adds two whole numbers"""
        return Sum(sum=a + b)

    @server.tool(structured_output=False)
    def fail(reason: str = "it was asked to", kind: str = "tool") -> str:
        """Fails"""
        if kind == "protocol":
            raise ProtocolError(-32602, reason)
        raise HandlerError(f"This tool failed: {reason}")

    @server.tool(structured_output=False)
    async def countdown(ctx: Context, pause_ms: int = 20) -> str:
        """Counts down and reports its progress"""
        for done in range(10):
            await ctx.report_progress(done, 10, f"{10 - done} to go")
            await asyncio.sleep(pause_ms / 1000)
        await ctx.report_progress(10, 10, "lift-off")
        return "Counted down from 10."

    @server.tool(structured_output=False)
    async def nap(seconds: float) -> str:
        """Sleeps"""
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            Shared.broken_off += 1
            raise
        return f"Slept for {seconds} s."

    @server.tool(structured_output=False)
    def surprise(show: bool) -> str:
        """Changes the list of tools"""
        return "Listeners are notified anyway."

    @server.tool(structured_output=False)
    def post_notice(text: str) -> str:
        """Changes the notice"""
        Shared.notice = text
        return f"Posted at {NOTICE}."

    @server.resource(NOTICE, name="notice", mime_type="text/plain")
    def notice() -> str:
        return Shared.notice

    @server.resource("demo://naps", name="naps", mime_type="text/plain")
    def naps() -> str:
        return f"{Shared.broken_off} naps were broken off."

    @server.resource("demo://capitals/{country}", name="capital", mime_type="text/plain")
    def capital(country: str) -> str:
        return CAPITALS[country]

    @server.prompt()
    def greet(name: str, language: str = "English", tone: str = "friendly") -> str:
        """Has the model write a greeting"""
        return f"Write a {tone} greeting to {name}, in {language}."

    @server.prompt()
    def explain_demo() -> str:
        """Explains this server"""
        return "Which of these tools should I try first?"


def suggested(argument):
    words = {"language": LANGUAGES, "country": list(CAPITALS)}.get(argument.name, [])
    return [word for word in words if word.lower().startswith(argument.value.lower())]


def page(prompts, cursor):
    """Returns one prompt per page and the next cursor: the SDK does not paginate itself."""
    at = int(cursor or 0)
    return prompts[at : at + 1], str(at + 1) if at + 1 < len(prompts) else None


def start(name, doc, run):
    match sys.argv[1:]:
        case ["http", port]:
            run("http", int(port))
        case ["stdio"]:
            # Real servers log to standard error before they answer.
            print(f"{name} is up", file=sys.stderr, flush=True)
            run("stdio")
        case _:
            sys.exit(doc)
