#!/usr/bin/env python3
"""listen.py NAME [N=1000] [listen|conns] [OUT]  - measures the memory of a new server with N open subscriptions/listen
streams, or with N idle keep-alive connections after one tools/call each. Starts and stops the server.

A stream counts as open once it has delivered notifications/subscriptions/acknowledged.
Appends a JSON line with the figures to OUT.
"""
import asyncio, json, os, subprocess, sys

here = os.path.dirname(os.path.abspath(__file__))
name, n = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1000
kind = sys.argv[3] if len(sys.argv) > 3 else "listen"
sh = lambda a: subprocess.check_output([f"{here}/server.sh", a, name], text=True).strip()
sh("start")
pid, port = int(sh("pid")), int(sh("url").split(":")[2].split("/")[0])
os.sched_setaffinity(0, {1})
META = '"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"listen","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}'


def post(method, params, extra=""):
    b = f'{{"jsonrpc":"2.0","id":7,"method":"{method}","params":{{{params}{META}}}}}'
    return (f"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"
            f"MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: {method}\r\n{extra}Content-Length: {len(b)}\r\n\r\n{b}").encode()


def mem():
    st = dict(l.split(":", 1) for l in open(f"/proc/{pid}/status") if ":" in l)
    return int(st["VmRSS"].split()[0]) / 1024, int(st["RssAnon"].split()[0]) / 1024, int(st["Threads"])


async def open_one(req, expected):
    r, w = await asyncio.open_connection("127.0.0.1", port)
    w.write(req)
    got = b""
    while expected not in got:
        d = await asyncio.wait_for(r.read(65536), 30)
        assert d, got
        got += d
    assert got.startswith(b"HTTP/1.1 200"), got
    return w


async def batch(req, expected):
    ws = []
    for i in range(0, n, 20):
        ws += await asyncio.gather(*(open_one(req, expected) for _ in range(min(20, n - i))))
    return ws


async def main():
    if kind == "listen":
        req, expected = post("subscriptions/listen", '"notifications":{"toolsListChanged":true},'), b"acknowledged"
    else:
        req, expected = post("tools/call", '"name":"echo","arguments":{"text":"hi"},', "Mcp-Name: echo\r\n"), b'"content"'
    before = mem()
    ws = await batch(req, expected)
    await asyncio.sleep(2)
    after = mem()
    for w in ws:
        w.transport.abort()
    await asyncio.sleep(2)
    print(f"| {name} | {n} {kind} | before {before[0]:.1f} MiB | open {after[0]:.1f} MiB | {(after[1]-before[1])*1024/n:.1f} KiB anon each | 2 s after close {mem()[0]:.1f} MiB |", flush=True)
    if len(sys.argv) > 4:
        row = {"name": name, "kind": kind, "n": n, "before_mib": before[0], "open_mib": after[0], "each_kib": (after[1] - before[1]) * 1024 / n, "closed_mib": mem()[0]}
        with open(sys.argv[4], "a") as f:
            f.write(json.dumps(row) + "\n")


try:
    asyncio.run(main())
finally:
    sh("stop")
