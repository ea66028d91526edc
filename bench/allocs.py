#!/usr/bin/env python3
"""allocs.py NAME [CASE..]  - counts heap allocations and bytes per request of a native server on one keep-alive connection."""
import http.client, json, os, re, signal, subprocess, sys, time

here = os.path.dirname(os.path.abspath(__file__))
os.chdir(os.path.join(here, ".."))
os.makedirs("target/bench/run", exist_ok=True)
subprocess.check_call("gcc -O2 -shared -fPIC -o target/bench/run/alloccount.so bench/alloccount.c -ldl", shell=True)
name = sys.argv[1]
port, cmd = next(l.rstrip("\n").split("|")[1:] for l in open(f"{here}/servers.conf") if l.startswith(name + "|"))
META = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientInfo": {"name": "allocs", "version": "1"}, "io.modelcontextprotocol/clientCapabilities": {}}
CASES = {"echo100": ("tools/call", "echo", {"text": "x" * 100}), "echo100k": ("tools/call", "echo", {"text": "x" * 102400}), "add": ("tools/call", "add", {"a": 2, "b": 3}),
         "list": ("tools/list", None, None), "discover": ("server/discover", None, None)}
err = open("target/bench/run/alloc.err", "w+")
p = subprocess.Popen(["taskset", "-c", "0", *cmd.replace("{port}", port).split()], env=dict(os.environ, LD_PRELOAD=os.path.abspath("target/bench/run/alloccount.so")), stderr=err)
time.sleep(1)


def totals():
    p.send_signal(signal.SIGUSR1)
    time.sleep(0.1)
    return list(map(int, re.findall(r"ALLOC (\d+) (\d+) (\d+)", open("target/bench/run/alloc.err").read())[-1]))


try:
    c = http.client.HTTPConnection("127.0.0.1", int(port))
    for case in sys.argv[2:] or CASES:
        m, tool, args = CASES[case]
        h = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2026-07-28", "Mcp-Method": m}
        params = {"_meta": META}
        if tool:
            h["Mcp-Name"] = tool
            params |= {"name": tool, "arguments": args}
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": m, "params": params}, separators=(",", ":"))

        def send(n):
            for _ in range(n):
                c.request("POST", "/mcp", body, h)
                r = c.getresponse()
                assert r.status == 200, r.read()
                r.read()

        send(50)
        a = totals()
        send(500)
        b = totals()
        print(f"| {name} | {case} | {(b[0]-a[0])/500:.1f} allocs | {(b[1]-a[1])/500:.1f} reallocs | {(b[2]-a[2])/500:.0f} bytes requested |", flush=True)
finally:
    p.kill()
    p.wait()
