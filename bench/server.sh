#!/bin/bash
# server.sh start NAME [CORE] | stop NAME | pid NAME | url NAME
# start: starts a server of servers.conf, pinned to a core (default 0), waits until it answers a
# 2026-07-28 tools/call, and records its pid. stop: kills that pid.
set -eu
cd "$(dirname "$0")/.."
act=$1 name=$2 core=${3:-0}
line=$(grep -m1 "^$name|" bench/servers.conf) || { echo "no server named $name" >&2; exit 2; }
IFS='|' read -r _ port cmd <<<"$line"
cmd=${cmd//\{port\}/$port}
pidf=target/bench/run/$name.pid url=http://127.0.0.1:$port/mcp
mkdir -p target/bench/run target/bench/logs
case $act in
  start)
    nohup taskset -c "$core" $cmd >"target/bench/logs/$name.log" 2>&1 </dev/null &
    echo $! >"$pidf"
    for _ in $(seq 200); do
      if bench/mcpcurl.sh "$url" echo -o /dev/null -f 2>/dev/null; then echo "$name pid $(cat "$pidf") $url"; exit 0; fi
      sleep 0.05
    done
    echo "$name did not become ready" >&2; tail -5 "target/bench/logs/$name.log" >&2; exit 1;;
  stop)
    p=$(cat "$pidf"); kill "$p" 2>/dev/null || true
    for _ in $(seq 60); do kill -0 "$p" 2>/dev/null || break; sleep 0.05; done
    kill -0 "$p" 2>/dev/null && kill -9 "$p"; rm -f "$pidf";;
  pid) cat "$pidf";;
  url) echo "$url";;
  *) echo "unknown action $act" >&2; exit 2;;
esac
