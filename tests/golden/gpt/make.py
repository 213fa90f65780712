#!/usr/bin/env python3
"""Losses of a tiny GPT trained by PyTorch, for tests/exec/test_golden.c.

The model is models/zoo/gpt.c's: pre-norm blocks, learned positions, GELU by tanh, biases
everywhere but in the output layer, which is not tied. Writes, beside this file:

  gpt.txt    sizes, optimisers and losses, readable
  gpt.bin    little-endian: initial parameters (fp32, in the graph's order), then the tokens of every
             step (int32, batch x (tokens + 1))

Needs PyTorch; any version that has scaled_dot_product_attention. Run once; the files are kept.
"""
import os
import torch
import torch.nn.functional as F

BLOCKS, WIDTH, HEADS, TOKENS, VOCABULARY, BATCH, STEPS = 2, 16, 2, 12, 40, 6, 5
OPTIMIZERS = [
    ("sgd", dict(lr=0.1, momentum=0.9)),
    ("adam", dict(lr=0.01)),
    ("adamw", dict(lr=0.01, weight_decay=0.1)),
]


def make_parameters(generator):
    """(name, tensor) in the order in which the graph has them."""
    def normal(*shape, scale=0.2):
        return scale * torch.randn(*shape, generator=generator)

    named = [("token", normal(VOCABULARY, WIDTH)), ("position", normal(TOKENS, WIDTH))]
    for b in range(BLOCKS):
        for layer, shape in [("ln1", None), ("qkv", (3 * WIDTH, WIDTH)), ("projection", (WIDTH, WIDTH)),
                             ("ln2", None), ("fc1", (4 * WIDTH, WIDTH)), ("fc2", (WIDTH, 4 * WIDTH))]:
            if shape is None:
                named += [(f"{b}.{layer}.w", 1 + normal(WIDTH)), (f"{b}.{layer}.b", normal(WIDTH))]
            else:
                named += [(f"{b}.{layer}.w", normal(*shape)), (f"{b}.{layer}.b", normal(shape[0]))]
    named += [("ln.w", 1 + normal(WIDTH)), ("ln.b", normal(WIDTH)),
              ("output.w", normal(VOCABULARY, WIDTH))]
    return named


def forward(p, tokens):
    def linear(x, name):
        return F.linear(x, p[name + ".w"], p[name + ".b"])

    def norm(x, name):
        return F.layer_norm(x, (WIDTH,), p[name + ".w"], p[name + ".b"], 1e-5)

    def attention(x):
        q, k, v = (t.reshape(*t.shape[:2], HEADS, WIDTH // HEADS).transpose(1, 2)
                   for t in x.split(WIDTH, dim=-1))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return y.transpose(1, 2).reshape(x.shape[0], x.shape[1], WIDTH)

    x = p["token"][tokens] + p["position"]
    for b in range(BLOCKS):
        x = x + linear(attention(linear(norm(x, f"{b}.ln1"), f"{b}.qkv")), f"{b}.projection")
        x = x + linear(F.gelu(linear(norm(x, f"{b}.ln2"), f"{b}.fc1"), approximate="tanh"), f"{b}.fc2")
    return F.linear(norm(x, "ln"), p["output.w"])


def train(named, samples, name, options):
    p = {key: value.clone().requires_grad_() for key, value in named}
    kind = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[name]
    optimizer = kind(p.values(), **options)
    losses = []
    for step in range(STEPS):
        optimizer.zero_grad()
        logits = forward(p, samples[step, :, :-1].long())
        loss = F.cross_entropy(logits.reshape(-1, VOCABULARY), samples[step, :, 1:].reshape(-1).long())
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def main():
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(20)
    named = make_parameters(generator)
    samples = torch.randint(0, VOCABULARY, (STEPS, BATCH, TOKENS + 1), generator=generator,
                            dtype=torch.int32)
    folder = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(folder, "gpt.bin"), "wb") as out:
        for _, value in named:
            out.write(value.numpy().astype("<f4").tobytes())
        out.write(samples.numpy().astype("<i4").tobytes())
    with open(os.path.join(folder, "gpt.txt"), "w") as out:
        out.write(f"{BLOCKS} {WIDTH} {HEADS} {TOKENS} {VOCABULARY} {BATCH} {STEPS}\n")
        for name, options in OPTIMIZERS:
            losses = train(named, samples, name, options)
            out.write(f"{name} {options['lr']} {options.get('momentum', 0)} "
                      f"{options.get('weight_decay', 0)} " + " ".join(f"{x:.7f}" for x in losses) + "\n")


if __name__ == "__main__":
    main()
