"""A small server on FastMCP. usage: fastmcp_server.py http PORT | stdio"""

import sys
from dataclasses import dataclass

from fastmcp import Context, FastMCP

mcp = FastMCP("interop-fastmcp", version="1.0.0")


@dataclass
class Booking:
    date: str
    guests: int


@mcp.tool
def echo(text: str) -> str:
    """Returns its argument"""
    return text


@mcp.tool
def add(a: int, b: int) -> dict[str, int]:
    """Adds two whole numbers"""
    return {"sum": a + b}


@mcp.tool
async def book_table(restaurant: str, ctx: Context) -> str:
    """Asks the user when and for how many"""
    answer = await ctx.elicit(f"When, at {restaurant}?", Booking)
    if answer.action != "accept":
        return f"Nothing was booked: {answer.action}"
    return f"A table for {answer.data.guests} at {restaurant} on {answer.data.date}."


if sys.argv[1] == "http":
    mcp.run(transport="http", host="127.0.0.1", port=int(sys.argv[2]), show_banner=False)
else:
    mcp.run(show_banner=False)
