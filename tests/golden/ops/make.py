"""Writes the golden files of this folder: what PyTorch computes, for tests/kernels/test_golden.c.

    python3 make.py

Inputs are float32. Ops and their gradients are computed from them in float64, optimisers in
float32 as they run in training. A file is a GLib key file: a group is a tensor or the parameters.
Gradients of parameters are those of one call, without what was accumulated before.
"""

import pathlib

import torch

FOLDER = pathlib.Path(__file__).parent
STEPS = 6


def text(tensor):
    if tensor.dtype in (torch.int32, torch.int64):
        return ";".join(str(v) for v in tensor.flatten().tolist())
    return ";".join(f"{v:.9g}" for v in tensor.flatten().tolist())


def write(name, parameters, tensors):
    lines = [f"# Made by make.py with PyTorch {torch.__version__.split('+')[0]}."]
    if parameters:
        lines += ["[parameters]"] + [f"{key}={value!r}" for key, value in parameters.items()]
    for key, tensor in tensors.items():
        dims = ";".join(str(d) for d in tensor.shape)
        lines += [f"[{key}]", f"dims={dims}", f"values={text(tensor.detach())}"]
    (FOLDER / f"{name}.ini").write_text("\n".join(lines) + "\n")


def leaf(*shape):
    return torch.randn(*shape).double().requires_grad_()


def with_gradients(y, dy, **inputs):
    """The file's tensors for y = op(inputs): inputs, y, dy and d<input>."""
    y.backward(dy)
    tensors = dict(inputs, y=y, dy=dy)
    tensors.update({f"d{key}": x.grad for key, x in inputs.items()})
    return tensors


def make_linear():
    x, w, bias, dy = leaf(5, 7), leaf(3, 7), leaf(3), leaf(5, 3).detach()
    y = torch.nn.functional.linear(x, w, bias)
    write("linear", {}, with_gradients(y, dy, x=x, w=w, bias=bias))


def make_gelu():
    x = torch.linspace(-6, 6, 49).double().requires_grad_()
    dy = leaf(49).detach()
    y = torch.nn.functional.gelu(x, approximate="tanh")
    write("gelu", {}, with_gradients(y, dy, x=x))


def make_layernorm():
    x, gain, bias, dy = leaf(4, 19), leaf(19), leaf(19), leaf(4, 19).detach()
    y = torch.nn.functional.layer_norm(x, (19,), gain, bias, eps=1e-5)
    write("layernorm", {"epsilon": 1e-5}, with_gradients(y, dy, x=x, gain=gain, bias=bias))


def make_rmsnorm():
    x, gain, dy = leaf(4, 19), leaf(19), leaf(4, 19).detach()
    y = torch.nn.functional.rms_norm(x, (19,), gain, eps=1e-5)
    write("rmsnorm", {"epsilon": 1e-5}, with_gradients(y, dy, x=x, gain=gain))


def make_attention():
    batch, tokens, heads, width = 2, 11, 3, 5
    qkv, dy = leaf(batch, tokens, 3 * heads * width), leaf(batch, tokens, heads * width).detach()
    q, k, v = (
        part.view(batch, tokens, heads, width).transpose(1, 2) for part in qkv.chunk(3, dim=2)
    )
    y = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    y = y.transpose(1, 2).reshape(batch, tokens, heads * width)
    write("attention", {"heads": heads}, with_gradients(y, dy, qkv=qkv))


def make_cross_entropy():
    x = (3 * torch.randn(6, 13)).double().requires_grad_()
    targets = torch.tensor([4, 0, -1, 12, 7, 7])
    loss = torch.nn.functional.cross_entropy(x, targets, ignore_index=-1)
    loss.backward()
    tensors = {"x": x, "targets": targets, "loss": loss, "dx": x.grad}
    write("cross_entropy", {"scale": 1 / 5}, tensors)


def make_optimizer(name, optimizer, parameters):
    """The weights before, each step's gradient and the weights after it."""
    w = torch.randn(13, requires_grad=True)
    tensors = {"w0": w.detach().clone()}
    optimizer = optimizer([w])
    for step in range(1, STEPS + 1):
        w.grad = torch.randn(13)
        optimizer.step()
        tensors[f"gradient{step}"] = w.grad.clone()
        tensors[f"w{step}"] = w.detach().clone()
    write(name, dict(parameters, steps=STEPS), tensors)


def make_optimizers():
    sgd = {"learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.05}
    make_optimizer(
        "sgd", lambda w: torch.optim.SGD(w, lr=0.1, momentum=0.9, weight_decay=0.05), sgd
    )
    plain = dict(sgd, momentum=0.0)
    make_optimizer("sgd-plain", lambda w: torch.optim.SGD(w, lr=0.1, weight_decay=0.05), plain)
    adam = {
        "learning_rate": 0.02, "beta1": 0.9, "beta2": 0.98, "epsilon": 1e-8, "weight_decay": 0.1,
    }
    options = {"lr": 0.02, "betas": (0.9, 0.98), "eps": 1e-8, "weight_decay": 0.1}
    make_optimizer("adam", lambda w: torch.optim.Adam(w, **options), adam)
    make_optimizer("adamw", lambda w: torch.optim.AdamW(w, **options), adam)


if __name__ == "__main__":
    torch.manual_seed(2024)
    make_linear()
    make_gelu()
    make_layernorm()
    make_attention()
    make_cross_entropy()
    make_optimizers()
    make_rmsnorm()
