#!/usr/bin/env python3
"""Measures the published schedulers that `plan` is held against, into published.csv.

  make.py SOURCES [-o published.csv] [--limit-seconds 900] [--only zb,zbv,...]

SOURCES is a folder with checkouts of zero-bubble-pipeline-parallelism and, if there is one,
Primus (README.md here names the files and commits). Only the order that a scheduler yields per
rank is taken from them; times, spans and memory are measured below, by the project's definitions.
"""
import argparse
import contextlib
import csv
import importlib.util
import io
import os
import random
import signal
import sys
import time
import types
from dataclasses import dataclass

ZERO_BUBBLE = "megatron.core.pipeline_parallel.zerobubble.scheduler"
PRIMUS = "primus.core.pipeline_parallel.scheduler"
ROW_SECONDS = 30
F, I, W = 0, 1, 2
COLUMNS = ("scheduler variant costs ranks microbatches chunks F I W L memory_limit weight_memory "
           "iteration span peak_memory peak_memory_whole status seconds").split()


class TooSlow(Exception):
    pass


@contextlib.contextmanager
def at_most(seconds):
    def stop(*_):
        raise TooSlow()
    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


# ---- what an order is worth ---------------------------------------------------------------

@dataclass
class Problem:
    ranks: int
    microbatches: int
    chunks: int          # 1, or 2: stages r and 2P-1-r on rank r
    name: str            # of the costs
    cost: tuple          # (F, I, W), each a list over the stages
    latency: float
    limit: float = None  # micro-batches of one rank's activations; None: no limit
    weight: float = 0.5  # the part of a micro-batch's activations that W frees

    @property
    def stages(self):
        return self.ranks * self.chunks

    def rank_of(self, stage):
        return stage if stage < self.ranks else 2 * self.ranks - 1 - stage


def earliest(problem, orders):
    """Start and end of every action when each starts as early as its rank's list and its
    messages allow; None if the lists wait for each other for ever."""
    last = problem.stages - 1
    end, timed = {}, [[] for _ in orders]
    at, free = [0] * len(orders), [0] * len(orders)
    moved = True
    while moved:
        moved = False
        for rank, order in enumerate(orders):
            while at[rank] < len(order):
                kind, stage, m = order[at[rank]]
                needs = []
                if kind == F and stage > 0:
                    needs.append((F, stage - 1, m))
                elif kind == I:
                    needs.append((F, stage, m))
                    if stage < last:
                        needs.append((I, stage + 1, m))
                elif kind == W:
                    needs.append((I, stage, m))
                if any(need not in end for need in needs):
                    break
                start = free[rank]
                for need in needs:
                    away = problem.rank_of(need[1]) != rank
                    start = max(start, end[need] + (problem.latency if away else 0))
                free[rank] = end[order[at[rank]]] = start + problem.cost[kind][stage]
                timed[rank].append((start, free[rank], kind))
                at[rank] += 1
                moved = True
    return timed if all(a == len(o) for a, o in zip(at, orders)) else None


def peak_memory(timed, chunks, weight):
    """F adds at its start, I and W free at their ends; at equal times frees come first."""
    peak = 0
    for actions in timed:
        changes = []
        for start, end, kind in actions:
            changes.append((start, 1, 1 / chunks) if kind == F else
                           (end, 0, -(1 - weight if kind == I else weight) / chunks))
        held = 0
        for _, _, change in sorted(changes):
            held += change
            peak = max(peak, held)
    return peak


def is_whole(problem, orders):
    """Every action exactly once, each on the rank where its stage stands."""
    seen = set()
    for rank, order in enumerate(orders):
        for action in order:
            if action in seen or problem.rank_of(action[1]) != rank:
                return False
            seen.add(action)
    return len(seen) == 3 * problem.stages * problem.microbatches


def measure(problem, orders):
    if not is_whole(problem, orders):
        return {"status": "broken"}
    timed = earliest(problem, orders)
    if timed is None:
        return {"status": "deadlock"}
    peak = peak_memory(timed, problem.chunks, problem.weight)
    exceeds = problem.limit is not None and peak > problem.limit + 1e-9
    return {"iteration": max(a[-1][1] for a in timed),
            "span": max(a[-1][1] - a[0][0] for a in timed),
            "peak_memory": peak,
            "peak_memory_whole": peak_memory(timed, problem.chunks, 1.0),
            "status": "exceeds" if exceeds else "ok"}


# ---- the schedulers -----------------------------------------------------------------------

SOURCES = (  # the repository's folder, its package, the modules in the order they need each other
    ("zero-bubble-pipeline-parallelism", ZERO_BUBBLE,
     ("graph", "zb", "zbv", "zbv_greedy", "v_auto_schedule")),
    ("Primus", PRIMUS, ("scheduler_node", "algorithms.base", "algorithms.zbv_greedy")))


def load(sources):
    """Their modules by file name ("Primus" for its last), without the packages around them,
    which want CUDA and Megatron."""
    # for type annotations, and for `value` of what is a number already
    for name in ("torch", "pulp"):
        sys.modules[name] = types.SimpleNamespace(Tensor=None, value=lambda x: x)
    modules = {}
    for repository, package, names in SOURCES:
        for name in names:
            full = f"{package}.{name}"
            path = os.path.join(sources, repository, *full.split(".")) + ".py"
            if not os.path.exists(path):
                print(f"make.py: no {path}: its rows are left out", file=sys.stderr)
                break
            parts = full.split(".")
            for i in range(1, len(parts)):
                empty = types.ModuleType(".".join(parts[:i]))
                empty.__path__ = []
                sys.modules.setdefault(empty.__name__, empty)
            spec = importlib.util.spec_from_file_location(full, path)
            module = sys.modules[full] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            modules[repository if repository == "Primus" else name] = module
    return modules


def config(graph, problem, scale):
    """Memory in units of 1/scale micro-batch of a chunk, so that it is whole numbers."""
    n = problem.ranks
    free_w = scale * problem.weight
    limit = problem.limit
    whole = float(scale * (3 * problem.microbatches if limit is None else limit) * problem.chunks)
    return graph.GraphConfig(
        cost_f=[float(x) for x in problem.cost[F][:n]],
        cost_b=[float(x) for x in problem.cost[I][:n]],
        cost_w=[float(x) for x in problem.cost[W][:n]],
        cost_comm=float(problem.latency), mem_f=[float(scale)] * n,
        mem_b=[free_w - scale] * n, mem_w=[-free_w] * n, max_mem=[whole] * n,
        max_chunks=problem.chunks, n_stages=n, n_micro=problem.microbatches)


def orders_of(nodes, ranks):
    """From their nodes, whose `chunk` numbers a rank's stages along the forward."""
    kinds = {"F": F, "B": I, "W": W}

    def first(node, *names):
        return next(getattr(node, name) for name in names if hasattr(node, name))
    orders = []
    for rank, row in enumerate(nodes):
        orders.append([])
        for node in row:
            kind = first(node, "type", "func_type")
            stage = 2 * ranks - 1 - rank if node.chunk else rank
            orders[-1].append((kinds[getattr(kind, "name", kind)], stage,
                               first(node, "microbatch", "minibatch", "mini_batch")))
    return orders


def run_zb(modules, problem):
    """ZB's automatic schedule: eight greedy passes of which the one with the shortest span is
    kept (`auto`); `iteration` is the one we find the shortest by its end, if another."""
    zb = modules["zb"]
    graph = zb.Graph.build_graph(problem.ranks, problem.microbatches,
                                 config(modules["graph"], problem, 4))
    tried = []
    for bubble in (True, False):
        for prefer_b in (True, False):
            for greedy in (True, False):
                _, times, span = graph.manual_order(allow_bubble_before_first_b=bubble,
                                                    prioritize_b=prefer_b, no_bubble_greedy=greedy)
                if not any(times == t for _, t in tried):
                    tried.append((span, times))
    nodes = [zb.create_scheduled_nodes(graph, times) for _, times in tried]
    auto = min(range(len(tried)), key=lambda i: tried[i][0])
    yield "auto", orders_of(nodes[auto], problem.ranks)
    ends = [max(times) for _, times in tried]
    best = min(range(len(tried)), key=lambda i: ends[i])
    if ends[best] < ends[auto]:
        yield "iteration", orders_of(nodes[best], problem.ranks)


def median(values):
    """Their V schedulers know one cost for all stages and are given the middle one."""
    return float(sorted(values)[len(values) // 2])


def run_zbv(modules, problem):
    c = config(modules["graph"], problem, 4)
    graph = modules["zbv"].PipelineGraph(
        problem.ranks, problem.microbatches, *(median(x) for x in problem.cost), c.cost_comm,
        f_mem=c.mem_f[0], b_mem=c.mem_b[0], w_mem=c.mem_w[0], max_mem=c.max_mem[0])
    yield "auto", orders_of(graph.create_schedule(c), problem.ranks)


fixed_orders = {}


def run_zbv_greedy(modules, problem):
    """v-min and v-half: the order does not depend on the costs, so it is made once."""
    for variant in ("min", "half"):
        key = (variant, problem.ranks, problem.microbatches)
        if key not in fixed_orders:
            graph = modules["zbv_greedy"].PipelineGraph(
                problem.ranks, problem.microbatches, variant,
                *(median(x) for x in problem.cost), float(problem.latency))
            begun = time.perf_counter()
            nodes = graph.create_schedule(config(modules["graph"], problem, 4))
            fixed_orders[key] = orders_of(nodes, problem.ranks), time.perf_counter() - begun
        yield "v-" + variant, *fixed_orders[key]


def run_v_auto(modules, problem):
    """The search over building blocks. Its limit is in chunks, all of which W frees."""
    cost = tuple(median(x) for x in problem.cost) + (float(problem.latency),)
    limit = 2 * problem.ranks if problem.limit is None else int(2 * problem.limit)
    sys.setrecursionlimit(100000)
    nodes = modules["v_auto_schedule"].schedule(problem.ranks, problem.microbatches, cost, limit)
    yield "search", orders_of(nodes, problem.ranks)


def run_primus(modules, problem):
    """A greedy pass in time steps of one for every action. Its limit is in chunks, all of which
    W frees."""
    limit = 2 * (problem.ranks if problem.limit is None else problem.limit)
    key = ("primus", problem.ranks, problem.microbatches, int(limit))
    if key not in fixed_orders:
        begun = time.perf_counter()
        algorithm = modules["Primus"].ScheduleZBVGreedy(problem.ranks, 2, problem.microbatches,
                                                        int(limit))
        orders = orders_of(algorithm.generate_schedule_table(), problem.ranks)
        fixed_orders[key] = orders, time.perf_counter() - begun
    yield "greedy", *fixed_orders[key]


SCHEDULERS = {"zb": ("zb", run_zb), "zbv": ("zbv", run_zbv),
              "zbv-greedy": ("zbv_greedy", run_zbv_greedy),
              "v-auto": ("v_auto_schedule", run_v_auto), "primus": ("Primus", run_primus)}


# ---- the grid -----------------------------------------------------------------------------

EVEN = (  # name, F, I, W, L
        ("unit", 1, 1, 1, 0), ("even-latency", 10, 10, 10, 1), ("mixed", 12, 14, 8, 1),
        ("gpt-1.5b", 18522, 18086, 9337, 601), ("gpt-6.2b", 29718, 29444, 19927, 527),
        ("gpt-14.6b", 11347, 11248, 8132, 377), ("latency", 10, 14, 7, 2),
        ("long-input", 10, 20, 10, 0.5), ("zb-example", 5, 6, 4, 0),
        ("zb-example-2", 5478, 5806, 3534, 200))

# The measured uneven stages in zero-bubble's own example: P = 8, M = 32, L = 473.
MEASURED = ((30715, 29233, 29106, 29078, 28850, 28919, 28924, 41678),
            (31308, 29344, 29357, 29455, 29217, 29384, 29354, 38731),
            (18746, 18789, 19062, 19367, 19455, 19967, 20096, 32833))

# The measured models of the Zero Bubble paper, as its schedulers' source lists them:
# P, M, F, I, W, L and the width h and heads a that say which part of the activations W frees.
PAPER = ((8, 24, 18522, 18086, 9337, 601, 2304, 24), (8, 32, 18513, 18086, 9331, 626, 2304, 24),
         (8, 64, 18546, 18097, 9321, 762, 2304, 24), (8, 24, 29718, 29444, 19927, 527, 4096, 32),
         (8, 32, 29802, 29428, 19530, 577, 4096, 32), (8, 64, 29935, 29621, 19388, 535, 4096, 32),
         (16, 48, 11347, 11248, 8132, 377, 5120, 40), (16, 64, 11307, 11254, 8101, 379, 5120, 40),
         (16, 128, 11325, 11308, 8109, 378, 5120, 40),
         (32, 96, 10419, 10207, 7715, 408, 6144, 48),
         (32, 128, 10408, 10204, 7703, 408, 6144, 48),
         (32, 256, 10402, 10248, 7698, 460, 6144, 48))


def paper(chunks):
    """With the limits of ZB-1p and ZB-2p, or that of ZB-V."""
    for ranks, m, *cost, latency, h, a in PAPER:
        stages = ranks * chunks
        weight = round(1024 * 32 * h / (34 * h + 5 * a * 1024)) / 1024
        for limit in (ranks, 2 * ranks) if chunks == 1 else (ranks,):
            yield Problem(ranks, m, chunks, f"paper-{h}",
                          tuple([x / chunks] * stages for x in cost), latency, float(limit),
                          weight)


def uneven(name, stages):
    """Whole numbers near (100, 120, 80): each stage its own, or the first or last heavier, as
    an embedding or a loss makes it."""
    chance = random.Random(f"{name} {stages}")
    cost = tuple([base] * stages for base in (100, 120, 80))
    if name == "scattered":
        cost = tuple([round(x * chance.uniform(0.8, 1.2)) for x in row] for row in cost)
    else:
        at = 0 if name == "first-heavy" else stages - 1
        for row in cost:
            row[at] = row[at] * 3 // 2
    return cost


UNEVEN = ("scattered", "first-heavy", "last-heavy")


def problems(ranks, microbatches, chunks, names, limits, weight=0.5):
    for name in names:
        stages = ranks * chunks
        even = next((c for c in EVEN if c[0] == name), None)
        if even:
            cost, latency = tuple([x] * stages for x in even[1:4]), even[4]
        elif name == "measured":
            cost, latency = tuple(map(list, MEASURED)), 473
        else:
            cost, latency = uneven(name, stages), 5
        for limit in limits:
            yield Problem(ranks, microbatches, chunks, name, cost, latency, limit, weight)


def limits(ranks, microbatches, fractions):
    """From 1 upwards; those which M micro-batches cannot reach say nothing that `none` does not."""
    some = sorted({1.0, *(ranks * f for f in fractions)})
    return [x for x in some if 1 <= x < microbatches] + [None]


def grid():
    names = [c[0] for c in EVEN if not c[0].startswith("zb-example")]
    few, most = ("mixed", "gpt-14.6b", "last-heavy"), (0.5, 0.75, 1, 1.25, 1.5, 2, 3)
    yield "zb", problems(16, 64, 1, few, (16.0, None))
    yield "zb", problems(32, 256, 1, ("mixed",), (32.0,))
    # the examples in zero-bubble's own source
    yield "zb", problems(4, 12, 1, ("zb-example",), (5.0, 7.0))
    yield "zb", problems(4, 12, 1, ("zb-example-2",), (16.0,))
    yield "zb", problems(8, 32, 1, ("measured",), (8.0, 12.0, 16.0))
    yield "zb", problems(32, 16, 1, ("unit",), (32.0,))
    yield "zb", paper(1)
    yield "zbv", paper(2)
    for ranks in (2, 3, 4, 6, 8, 12, 16, 32):
        for factor in (1, 2, 3, 4, 8):
            m = min(factor * ranks, 256)
            big = ranks * m
            if big <= 128:
                chosen, fractions = names + list(UNEVEN), most
            elif big <= 400:
                chosen, fractions = ("even-latency", "mixed", "gpt-1.5b", "latency") + UNEVEN, \
                                    (0.5, 1, 1.25, 2)
            else:
                chosen, fractions = few, (0.5, 1, 1.5, 2)
            if big <= 1024:
                yield "zb", problems(ranks, m, 1, chosen, limits(ranks, m, fractions))
                v = [n for n in chosen if big <= 128 or n in few]
                yield "zbv", problems(ranks, m, 2, v, limits(ranks, m, fractions))
                yield "zbv-greedy", problems(ranks, m, 2, v, (None,))
            if big <= 400:
                yield "primus", problems(ranks, m, 2, few,
                                         limits(ranks, m, (0.5, 0.75, 1, 1.5)))
            if big <= 64:
                yield "v-auto", problems(ranks, m, 2, few, limits(ranks, m, (0.5, 0.75)))
    for ranks, m in ((4, 8), (4, 16), (8, 24)):  # other parts freed by W
        for weight in (0.25, 1.0):
            some = limits(ranks, m, (0.5, 1, 1.5))
            yield "zb", problems(ranks, m, 1, few, some, weight)
            yield "zbv", problems(ranks, m, 2, few, some, weight)
            yield "zbv-greedy", problems(ranks, m, 2, few, (None,), weight)
    yield "zb", problems(32, 256, 1, ("gpt-14.6b", "last-heavy"), (32.0, 64.0))
    yield "zbv", problems(32, 256, 2, ("mixed",), (32.0,))
    yield "zbv-greedy", problems(16, 64, 2, ("mixed",), (None,))
    yield "v-auto", problems(16, 64, 2, ("mixed",), (8.0,))
    yield "primus", problems(16, 64, 2, ("mixed",), (8.0, 16.0))


def number(x):
    if x is None:
        return "none"
    return str(int(x)) if x == int(x) else repr(x)


def stage_list(values):
    return number(values[0]) if len(set(values)) == 1 else ";".join(number(x) for x in values)


def rows_of(scheduler, modules, problem):
    row = {"scheduler": scheduler, "costs": problem.name, "ranks": problem.ranks,
           "microbatches": problem.microbatches, "chunks": problem.chunks,
           "L": number(problem.latency), "memory_limit": number(problem.limit),
           "weight_memory": number(problem.weight)}
    row.update((k, stage_list(v)) for k, v in zip("FIW", problem.cost))
    begun = time.perf_counter()
    try:
        with at_most(ROW_SECONDS), contextlib.redirect_stdout(io.StringIO()):
            found = list(SCHEDULERS[scheduler][1](modules, problem))
    except TooSlow:
        yield {**row, "status": "slow", "seconds": f"{ROW_SECONDS}+"}
        return
    except Exception as error:  # theirs: asserts, indices, ValueError, whatever they raise
        yield {**row, "status": "raised " + type(error).__name__,
               "seconds": f"{time.perf_counter() - begun:.3f}"}
        return
    spent = time.perf_counter() - begun
    for variant, orders, *seconds in found:
        result = measure(problem, orders)
        for key in ("iteration", "span", "peak_memory", "peak_memory_whole"):
            result[key] = number(result[key]) if key in result else ""
        yield {**row, **result, "variant": variant,
               "seconds": f"{seconds[0] if seconds else spent:.3f}"}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("sources")
    parser.add_argument("-o", default=os.path.join(os.path.dirname(__file__), "published.csv"))
    parser.add_argument("--limit-seconds", type=float, default=900)
    parser.add_argument("--only", default=",".join(SCHEDULERS))
    arguments = parser.parse_args()
    modules = load(arguments.sources)
    only = arguments.only.split(",")
    begun, seen = time.monotonic(), set()
    refused = set()  # a limit that a scheduler cannot take is told once, not for every cost
    with open(arguments.o, "w", newline="") as file:
        out = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n")
        out.writeheader()
        for scheduler, cases in grid():
            if scheduler not in only or SCHEDULERS[scheduler][0] not in modules:
                continue
            for problem in cases:
                key = (scheduler, problem.ranks, problem.microbatches, problem.chunks,
                       problem.name, problem.limit, problem.weight)
                if key in seen:
                    continue
                if time.monotonic() - begun > arguments.limit_seconds:
                    print("make.py: out of time; the rest is left out", file=sys.stderr)
                    return
                seen.add(key)
                for row in rows_of(scheduler, modules, problem):
                    if row["status"].startswith("raised") and problem.limit is not None:
                        if key[:4] + key[5:] in refused:
                            continue
                        refused.add(key[:4] + key[5:])
                    out.writerow(row)
                file.flush()


if __name__ == "__main__":
    main()
