#!/usr/bin/env python3
"""startup.py NAME [RUNS=15] [OUT]  - measures the time from spawn to the first correct tools/call reply, in ms.

The server runs on core 0, this poller on core 1: it opens a connection every ~0.2 ms until one is
accepted, then sends one tools/call and waits for HTTP 200. Also prints memory right after that reply.
Appends a JSON line with the figures to OUT.
"""
import json, os, socket, statistics, subprocess, sys, time

here = os.path.dirname(os.path.abspath(__file__))
os.chdir(os.path.join(here, ".."))
name, runs = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 15
port, cmd = next(l.rstrip("\n").split("|")[1:] for l in open(f"{here}/servers.conf") if l.startswith(name + "|"))
cmd = cmd.replace("{port}", port).split()
body = ('{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"text":"hi"},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",'
        '"io.modelcontextprotocol/clientInfo":{"name":"startup","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}}}').encode()
req = (f"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"
       f"MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: echo\r\nContent-Length: {len(body)}\r\n\r\n").encode() + body
os.sched_setaffinity(0, {1})
ms, rss, anon = [], [], []
for _ in range(runs):
    t0 = time.monotonic()
    p = subprocess.Popen(["taskset", "-c", "0", *cmd], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while True:
        s = socket.socket()
        try:
            s.connect(("127.0.0.1", int(port)))
            break
        except ConnectionRefusedError:
            s.close()
            time.sleep(0.0002)
    s.sendall(req)
    got = b""
    while b'"content"' not in got:
        d = s.recv(65536)
        assert d, got
        got += d
    ms.append((time.monotonic() - t0) * 1e3)
    assert got.startswith(b"HTTP/1.1 200"), got
    s.close()
    time.sleep(0.3)
    st = dict(l.split(":", 1) for l in open(f"/proc/{p.pid}/status") if ":" in l)
    rss.append(int(st["VmRSS"].split()[0]) / 1024), anon.append(int(st["RssAnon"].split()[0]) / 1024)
    p.kill(), p.wait()
q = statistics.median
print(f"| {name} | start {q(ms):.1f} ms (min {min(ms):.1f}, max {max(ms):.1f}, n={runs}) | idle RSS {q(rss):.1f} MiB | anon {q(anon):.1f} MiB |", flush=True)
if len(sys.argv) > 3:
    with open(sys.argv[3], "a") as f:
        f.write(json.dumps({"name": name, "start_ms": q(ms), "min_ms": min(ms), "max_ms": max(ms), "rss_mib": q(rss), "anon_mib": q(anon)}) + "\n")
