"""The tour (see ../README.md) on the Python SDK: v1 and v2 register alike, and differ in what a handler is given."""

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
    """What all connections of a process share."""

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
    """Tells connections of the old era of changes, again and again."""

    def __init__(self, low, options):
        self.tools = set()
        self.notice = None
        self.level = "debug"
        # Neither generation has a public place for this.
        low.create_initialization_options = partial(low.create_initialization_options, options)

    def levels(self):
        return LEVELS[LEVELS.index(self.level) :]

    async def tell(self):
        while True:
            await asyncio.sleep(0.3)
            for session in list(self.tools):
                if not await told(session.send_tool_list_changed()):
                    self.tools.discard(session)
            if self.notice and not await told(self.notice.send_resource_updated(NOTICE)):
                self.notice = None


async def told(work):
    """Whether somebody was still there to be told."""
    try:
        await work
    except Exception:  # whatever it says, it means that nobody is
        return False
    return True


@asynccontextmanager
async def beside(*work):
    """Does this for as long as something else is done."""
    tasks = [asyncio.create_task(one) for one in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()


def tour(server, Context, ProtocolError, HandlerError):
    """All that both generations of the SDK register in the same way."""

    @server.tool(structured_output=False)
    def whoami() -> str:
        """Which replica answers"""
        return "replica python"

    @server.tool(structured_output=False)
    def echo(text: str) -> str:
        """Gives back what it was given"""
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
        """Says nothing for a while"""
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            Shared.broken_off += 1
            raise
        return f"Slept for {seconds} s."

    @server.tool(structured_output=False)
    def surprise(show: bool) -> str:
        """Changes the list of tools"""
        return "Listeners hear of it anyway."

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
    """One prompt on each page, and where the next one is: the SDK makes no pages itself."""
    at = int(cursor or 0)
    return prompts[at : at + 1], str(at + 1) if at + 1 < len(prompts) else None


def start(name, doc, run):
    match sys.argv[1:]:
        case ["http", port]:
            run("http", int(port))
        case ["stdio"]:
            # Real servers chat on standard error before they answer anything.
            print(f"{name} is up", file=sys.stderr, flush=True)
            run("stdio")
        case _:
            sys.exit(doc)
