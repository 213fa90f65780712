#!/usr/bin/env python3
"""PyTorch beside pipewright: the model of examples/gpt-small.json, fp32, AdamW, on the CPU.

    python3 bench/peer_torch.py [--steps 8] [--schedule 1F1B|GPipe] [--microbatches 4]

Prints tokens per second of one process with one thread, and of PyTorch's own pipeline: two processes,
one thread each, over gloo. Needs PyTorch's wheel; nothing of the project's build or tests does.
"""
import argparse
import os
import statistics
import time

BLOCKS, WIDTH, HEADS, TOKENS, VOCABULARY, BATCH = 8, 256, 4, 128, 256, 16


def build_modules(torch):
    nn, functional = torch.nn, torch.nn.functional

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.ln1, self.ln2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
            self.qkv, self.projection = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
            self.fc1, self.fc2 = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

        def forward(self, x):
            b, t, c = x.shape
            q, k, v = (
                part.view(b, t, HEADS, c // HEADS).transpose(1, 2)
                for part in self.qkv(self.ln1(x)).split(c, dim=2)
            )
            y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.projection(y.transpose(1, 2).reshape(b, t, c))
            hidden = functional.gelu(self.fc1(self.ln2(x)), approximate="tanh")
            return x + self.fc2(hidden)

    class Embedding(nn.Module):
        def __init__(self):
            super().__init__()
            self.token, self.position = nn.Embedding(VOCABULARY, WIDTH), nn.Embedding(TOKENS, WIDTH)

        def forward(self, tokens):
            return self.token(tokens) + self.position.weight

    class Head(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.output = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, VOCABULARY, bias=False)

        def forward(self, x):
            return self.output(self.norm(x))

    first = nn.Sequential(Embedding(), *(Block() for _ in range(BLOCKS // 2)))
    second = nn.Sequential(*(Block() for _ in range(BLOCKS // 2)), Head())
    return first, second


def cross_entropy(torch):
    return lambda logits, targets: torch.nn.functional.cross_entropy(
        logits.reshape(-1, VOCABULARY), targets.reshape(-1)
    )


def batch(torch):
    generator = torch.Generator().manual_seed(1)
    data = torch.randint(0, VOCABULARY, (BATCH, TOKENS + 1), generator=generator)
    return data[:, :-1].contiguous(), data[:, 1:].contiguous()


def timed(step, steps):
    """Median tokens per second after two steps of warm-up."""
    times = []
    for i in range(steps + 2):
        start = time.perf_counter()
        step()
        if i >= 2:
            times.append(time.perf_counter() - start)
    return BATCH * TOKENS / statistics.median(times)


def one_thread(steps):
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(1)
    first, second = build_modules(torch)
    model = torch.nn.Sequential(first, second)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, fused=True)
    tokens, targets = batch(torch)
    loss_function = cross_entropy(torch)

    def step():
        loss_function(model(tokens), targets).backward()
        optimizer.step()
        optimizer.zero_grad()

    return timed(step, steps)


def pipeline_rank(rank, steps, schedule_name, microbatches, port, results):
    import torch
    import torch.distributed as dist
    from torch.distributed.pipelining import PipelineStage, Schedule1F1B, ScheduleGPipe

    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[rank]})
    torch.set_num_threads(1)
    torch.manual_seed(1)
    dist.init_process_group("gloo", rank=rank, world_size=2)
    module = build_modules(torch)[rank]
    stage = PipelineStage(module, rank, 2, torch.device("cpu"))
    kinds = {"1F1B": Schedule1F1B, "GPipe": ScheduleGPipe}
    schedule = kinds[schedule_name](stage, microbatches, loss_fn=cross_entropy(torch))
    optimizer = torch.optim.AdamW(module.parameters(), lr=3e-4, fused=True)
    tokens, targets = batch(torch)

    def step():
        if rank == 0:
            schedule.step(tokens)
        else:
            schedule.step(target=targets)
        optimizer.step()
        optimizer.zero_grad()

    rate = timed(step, steps)
    if rank == 1:
        results.put(rate)
    dist.barrier()
    dist.destroy_process_group()


def pipeline(steps, schedule_name, microbatches):
    import multiprocessing

    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    port = 29500 + os.getpid() % 1000
    ranks = [
        context.Process(
            target=pipeline_rank, args=(rank, steps, schedule_name, microbatches, port, results)
        )
        for rank in range(2)
    ]
    for process in ranks:
        process.start()
    rate = results.get(timeout=300)
    for process in ranks:
        process.join()
    return rate


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--schedule", choices=["1F1B", "GPipe"], default="1F1B")
    parser.add_argument("--microbatches", type=int, default=4)
    arguments = parser.parse_args()
    import torch

    print(f"PyTorch {torch.__version__}, one thread: {one_thread(arguments.steps):,.0f} tokens/s")
    rate = pipeline(arguments.steps, arguments.schedule, arguments.microbatches)
    print(f"PyTorch {torch.__version__}, pipeline {arguments.schedule}, two processes: {rate:,.0f} tokens/s")


if __name__ == "__main__":
    main()
