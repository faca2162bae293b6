"""Writes the last `make bench` into README.md, README.zh-CN.md and docs/performance.md, between the
markers there: <!-- bench --> and <!-- /bench -->. Prints what it changed.

    make bench && /usr/bin/python3 tests/bench/publish.py
"""

import json
import os
import shutil
import sys

import bench

ROOT = bench.ROOT
sys.path.insert(0, os.path.join(ROOT, "tests/lib"))

import markers  # noqa: E402

DOCUMENTS = ("README.md", "README.zh-CN.md", "docs/performance.md")

# Of a reader's interest, in this order: name in results.json, English, Chinese.
ROWS = (
    ("orderhookd 64", "64 keep-alive connections", "64 个长连接"),
    ("orderhookd 1", "1 connection", "1 个连接"),
    ("orderhookd 256", "256 connections", "256 个连接"),
    ("orderhookd 1000", "1 000 connections", "1000 个连接"),
    ("orderhookd 64 close", "64 connections, a new one for each callback", "64 个连接，每次回调新建连接"),
    ("orderhookd paced 1000/s", "paced at 1 000 a second", "按每秒 1000 次匀速发送"),
    ("behind nginx 64", "64 connections through nginx", "64 个连接，经过 nginx"),
    ("orderhookd 64, large store", "64 connections, {fill} events stored before",
     "64 个连接，库中已有 {fill} 条事件"),
    ("sqlite 64", "for comparison: SQLite alone, 64 events a transaction",
     "对照：单独的 SQLite，每个事务 64 条"),
    ("sqlite 1", "for comparison: SQLite alone, 1 event a transaction",
     "对照：单独的 SQLite，每个事务 1 条"),
    ("fdatasync 4K", "for comparison: fdatasync of 4 KB", "对照：4 KB 的 fdatasync"),
)
HEADS = (("durable callbacks", "a second", "p50", "p99"), ("落盘的回调", "每秒", "p50", "p99"))


def number(value):
    return f"{value:,.0f}".replace(",", " ")


def milliseconds(value):
    return f"{value / 1000:.1f} ms"


def rows(run, language):
    out = ["| " + " | ".join(HEADS[language]) + " |", "|---|---:|---:|---:|"]
    for name, *texts in ROWS:
        result = run["results"].get(name)
        if result:
            text = texts[language].format(fill=number(run["fill"]))
            out.append(f"| {text} | {number(result['per_second'])} | "
                       f"{milliseconds(result['p50_us'])} | {milliseconds(result['p99_us'])} |")
    return out


def command(run):
    return (f"BENCH_SECONDS={run['seconds']} BENCH_RUNS={run['runs']} BENCH_FILL={run['fill']} "
            "make bench")


def costs(run, language):
    results = run["results"]
    cpu = results["orderhookd 64"]["server_cpu_us"]
    memory = results.get("resident", {}).get("mb")
    text = (f"A callback takes {cpu:.0f} µs of processor time",
            f"每次回调占用处理器 {cpu:.0f} 微秒")[language]
    if memory:
        text += (f"; the daemon has {memory:.0f} MB resident after all of it",
                 f"；全部跑完后守护进程常驻内存 {memory:.0f} MB")[language]
    return text + (".", "。")[language]


def readme(run, language):
    return "\n".join([f"    {command(run)}", "", *rows(run, language), "", costs(run, language),
                      "", f"{run['machine']}."])


def performance(run):
    return "\n".join([f"    {command(run)}", "", bench.table(run["results"], run).rstrip(), "",
                      "![The same as curves](performance.svg)"])


def main():
    path = os.path.join(bench.OUT, "results.json")
    if not os.path.exists(path):
        raise SystemExit(f"publish: {path} is not there; run `make bench` first")
    with open(path) as f:
        run = json.load(f)
    texts = (readme(run, 0), readme(run, 1), performance(run))
    for document, text in zip(DOCUMENTS, texts):
        changed = "written" if markers.put(os.path.join(ROOT, document), "bench", text) \
            else "as it was"
        print(f"{changed}: {document}")
    shutil.copy(os.path.join(bench.OUT, "plot.svg"), os.path.join(ROOT, "docs/performance.svg"))
    print("written: docs/performance.svg")
    return 0


if __name__ == "__main__":
    sys.exit(main())
