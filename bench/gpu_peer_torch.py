#!/usr/bin/env python3
"""The model of examples/gpt-1.3b.json in PyTorch on one GPU: bf16, fused attention, fused AdamW.

    python3 gpu_peer_torch.py [--tiny] [--steps 5] [--seconds 60] [--device cuda]

A step is eight sequences of 2,048 tokens, in micro-batches of 1, 2 and 4 sequences whose gradients
are summed; parameters in bf16 with fp32 masters in the optimiser ("master"), as pipewright keeps them, or fp32 under autocast ("autocast"). One line per way; what does not fit is named.
"""
import argparse
import statistics
import time

import torch
from torch import nn
from torch.nn import functional


class Sizes:
    blocks, width, heads, tokens, vocabulary, batch = 24, 2048, 16, 2048, 50304, 8


class TinySizes:
    blocks, width, heads, tokens, vocabulary, batch = 2, 64, 2, 32, 256, 4


class Block(nn.Module):
    def __init__(self, size):
        super().__init__()
        width, self.heads = size.width, size.heads
        self.ln1, self.ln2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.projection = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        b, t, c = x.shape
        q, k, v = (
            part.view(b, t, self.heads, c // self.heads).transpose(1, 2)
            for part in self.qkv(self.ln1(x)).split(c, dim=2)
        )
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.projection(y.transpose(1, 2).reshape(b, t, c))
        return x + self.fc2(functional.gelu(self.fc1(self.ln2(x)), approximate="tanh"))


class Gpt(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.token = nn.Embedding(size.vocabulary, size.width)
        self.position = nn.Embedding(size.tokens, size.width)
        self.blocks = nn.Sequential(*(Block(size) for _ in range(size.blocks)))
        self.norm = nn.LayerNorm(size.width)
        self.output = nn.Linear(size.width, size.vocabulary, bias=False)

    def forward(self, tokens, targets):
        x = self.blocks(self.token(tokens) + self.position.weight)
        logits = self.output(self.norm(x))
        return functional.cross_entropy(logits.flatten(0, 1), targets.flatten())


class MasterAdamW:
    """AdamW on fp32 copies; the bf16 parameters get them rounded (1710.03740)."""

    def __init__(self, parameters):
        self.parameters = list(parameters)
        self.masters = [p.detach().float() for p in self.parameters]
        self.inner = torch.optim.AdamW(self.masters, lr=2e-4, fused=True)

    @torch.no_grad()
    def step(self):
        for master, parameter in zip(self.masters, self.parameters):
            master.grad = parameter.grad.float()
        self.inner.step()
        torch._foreach_copy_(self.parameters, self.masters)

    def zero_grad(self):
        for master, parameter in zip(self.masters, self.parameters):
            master.grad = parameter.grad = None


def wait(device):
    if device.type == "cuda":
        torch.cuda.synchronize()


def tokens_per_second(size, way, microbatch, steps, device):
    torch.manual_seed(1)
    with device:
        model = Gpt(size)
    if way == "master":
        model.to(torch.bfloat16)
        optimizer = MasterAdamW(model.parameters())
    else:
        optimizer = torch.optim.AdamW(model.parameters(), lr=2e-4, fused=True)
    data = torch.randint(0, size.vocabulary, (size.batch, size.tokens + 1), device=device)
    parts = size.batch // microbatch

    def step():
        for part in data.chunk(parts):
            with torch.autocast(device.type, torch.bfloat16, enabled=way == "autocast"):
                loss = model(part[:, :-1], part[:, 1:]) / parts
            loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    times = []
    for i in range(steps + 2):
        wait(device)
        start = time.perf_counter()
        step()
        wait(device)
        if i >= 2:
            times.append(time.perf_counter() - start)
    return size.batch * size.tokens / statistics.median(times)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=60, help="no new way is begun after these")
    parser.add_argument("--device", type=torch.device, default="cuda")
    arguments = parser.parse_args()
    if arguments.device.type == "cuda" and not torch.cuda.is_available():
        print("PyTorch sees no device")
        raise SystemExit(77)
    torch.backends.cuda.matmul.allow_tf32 = True
    size = TinySizes if arguments.tiny else Sizes
    start = time.perf_counter()
    for microbatch in (4, 2, 1):
        for way in ("master", "autocast"):
            name = f"PyTorch {torch.__version__}, {way}, micro-batches of {microbatch}"
            if time.perf_counter() - start > arguments.seconds:
                print(f"skip\t{name}\tno time left")
                continue
            try:
                rate = tokens_per_second(size, way, microbatch, arguments.steps, arguments.device)
                print(f"row\t{name}\t{rate:.6g}\ttokens/s\t-\t-", flush=True)
            except torch.cuda.OutOfMemoryError:
                print(f"skip\t{name}\tout of memory", flush=True)
            if arguments.device.type == "cuda":
                torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
