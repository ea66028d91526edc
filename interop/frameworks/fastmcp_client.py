"""FastMCP's client. usage: fastmcp_client.py http URL | stdio COMMAND [ARG...]; prints the results as JSON."""

import asyncio
import json
import sys

from fastmcp import Client
from fastmcp.client.transports import StdioTransport


async def answer(message, response_type, params, context):
    return {"date": "2026-08-01", "guests": 4}


async def main():
    how, rest = sys.argv[1], sys.argv[2:]
    target = rest[0] if how == "http" else StdioTransport(rest[0], rest[1:])
    async with Client(target, elicitation_handler=answer) as client:
        found = {
            "tools": len(await client.list_tools()),
            "sum": (await client.call_tool("add", {"a": 2, "b": 40})).structured_content["sum"],
            "query": (await client.call_tool("query", {"region": "eu-1", "text": "rain"})).content[0].text,
            "booked": (await client.call_tool("book_table", {"restaurant": "Noma"})).content[0].text,
            "prompts": len(await client.list_prompts()),
            "resources": len(await client.list_resources()),
        }
    print(json.dumps(found))


asyncio.run(main())
