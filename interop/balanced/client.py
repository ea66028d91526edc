"""A client of the Python SDK v1 (2025-11-25) behind a round-robin balancer: `client.py URL ROUNDS`.

Each round is a plain call, a call with progress notifications and a call that asks the user. Prints what happened as JSON.
"""

import asyncio
import collections
import datetime
import json
import sys

import httpx
from mcp import ClientSession, types
from mcp.client.streamable_http import streamablehttp_client
from mcp.shared._httpx_utils import create_mcp_http_client

URL, ROUNDS = sys.argv[1], int(sys.argv[2])
seen = {"calls": 0, "notifications": 0, "elicitations": 0, "retried": 0, "wrong": []}
statuses, replicas = collections.Counter(), collections.Counter()


def counting(*args, **kwargs):
    client = create_mcp_http_client(*args, **kwargs)

    async def count(response: httpx.Response) -> None:
        statuses[f"{response.request.method} {response.status_code}"] += 1

    client.event_hooks["response"].append(count)
    return client


async def accept(_context, _params):
    seen["elicitations"] += 1
    return types.ElicitResult(action="accept", content={"date": "2027-01-02", "guests": 3})


async def call(session, name, arguments, on_progress=None):
    """Calls a tool. A call that was lost with its replica is retried."""
    limit = datetime.timedelta(seconds=10)
    for attempt in range(9):
        try:
            result = await session.call_tool(name, arguments, limit, progress_callback=on_progress)
        except Exception:
            if attempt == 8:
                raise
            seen["retried"] += 1
            await asyncio.sleep(0.1)
            continue
        seen["calls"] += 1
        return result.content[0].text if result.content else ""


def expect(what, text, part):
    if part not in text:
        seen["wrong"].append(f"{what}: {text}")


async def main():
    async with streamablehttp_client(URL, httpx_client_factory=counting) as (read, write, _):
        async with ClientSession(read, write, elicitation_callback=accept) as session:
            await session.initialize()
            for round in range(ROUNDS):
                who = await call(session, "whoami", {})
                expect("whoami", who, "replica ")
                replicas[who] += 1
                updates = []

                async def progress(done, _total, _message):
                    updates.append(done)

                counted = await call(session, "countdown", {"from": 2, "pause_ms": 11}, progress)
                expect("countdown", counted, "Counted down from 2")
                if not updates:
                    seen["wrong"].append(f"countdown {round}: no progress")
                seen["notifications"] += len(updates)
                booked = await call(session, "book_table", {"restaurant": "Ada's"})
                expect("book_table", booked, "A table for 3 at Ada's on 2027-01-02")
    print(json.dumps({**seen, "statuses": statuses, "replicas": replicas}))


asyncio.run(main())
