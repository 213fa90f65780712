"""Writes the CSV files beside this one from PyTorch's own schedule classes (see README.md).

Needs PyTorch's torch.distributed.pipelining, no process group and no accelerator:

    python make.py [FOLDER]
"""

import csv
import re
import sys
from pathlib import Path

from torch.distributed.pipelining import schedules as pp

# (class, ranks, chunks, micro-batches)
MULTI = {
    "interleaved-1f1b": (pp.ScheduleInterleaved1F1B, [(2, 2, 4), (4, 2, 8), (2, 3, 6), (4, 2, 6), (3, 2, 9)]),
    "looped-bfs": (pp.ScheduleLoopedBFS, [(2, 2, 2), (4, 2, 6)]),
    "zb-interleaved": (
        pp.ScheduleInterleavedZeroBubble,
        [(2, 2, 8), (4, 1, 8), (4, 2, 8), (3, 2, 3), (2, 3, 6)],
    ),
    "zb-v": (pp.ScheduleZBVZeroBubble, [(2, 2, 4), (4, 2, 10), (4, 2, 3), (3, 2, 6)]),
    "dualpipe-v": (pp.ScheduleDualPipeV, [(2, 2, 4), (4, 2, 10), (3, 2, 7)]),
}
SINGLE = {
    "gpipe": (pp.ScheduleGPipe, [(2, 2), (4, 8), (4, 3)]),
    "1f1b": (pp.Schedule1F1B, [(2, 2), (4, 8), (3, 5)]),
}
# Also with receives deferred (defer_pp_recv), and in the words of before late 2024.
DEFERRED = {("interleaved-1f1b", 4, 2, 8), ("zb-v", 4, 2, 10), ("zb-interleaved", 2, 2, 8)}
OLD = {("interleaved-1f1b", 2, 2, 4), ("zb-interleaved", 2, 2, 8), ("zb-v", 2, 2, 4)}


class Op:
    """Stands for a dist.P2POp; only its text matters."""

    def __init__(self, text):
        self.text, self.peer = text, 0


class Stage:
    """What the schedules ask of a stage while they are built or, with LOG, stepped through."""

    submod = None

    def __init__(self, index, rank, ranks, stages, log=None):
        self.stage_index, self.group_rank, self.group_size, self.num_stages = index, rank, ranks, stages
        self.is_first, self.is_last, self.has_backward = index == 0, index == stages - 1, True
        self.log = log

    def _op(self, kind, m, exists):
        return [Op(f"{self.stage_index}{kind}{m}")] if exists else []

    def get_fwd_recv_ops(self, m):
        return self._op("RECV_F", m, not self.is_first)

    def get_fwd_send_ops(self, m):
        return self._op("SEND_F", m, not self.is_last)

    def get_bwd_recv_ops(self, m):
        return self._op("RECV_B", m, not self.is_last)

    def get_bwd_send_ops(self, m):
        return self._op("SEND_B", m, not self.is_first)

    def forward_one_chunk(self, m, *args, **kwargs):
        self.log.append(f"{self.stage_index}F{m}")

    def backward_one_chunk(self, m, *args, **kwargs):
        self.log.append(f"{self.stage_index}B{m}")

    def release_fwd_send_outputs(self, m):
        pass

    def perform_reduce_grad(self, scale):
        pass


def step_through(schedule_class, rank, ranks, microbatches):
    """A rank's list as the class's own loop issues it, each call of _batch_p2p one group."""
    log = []

    def batch(ops, desc=None):
        texts = [op.text for op in ops]
        if len(texts) == 1:
            log.append(texts[0])
        elif texts:
            log.append("(" + ";".join(texts) + ")GROUP")
        return []

    class Stepped(schedule_class):
        def _check_inputs(self, *args):
            return [()] * microbatches, [{}] * microbatches

        def _initialize_stage(self, *args):
            pass

        def _maybe_compute_loss(self, *args):
            pass

        def _maybe_get_loss(self, *args):
            return None

        def _update_losses(self, *args):
            pass

    original, pp._batch_p2p = pp._batch_p2p, batch
    try:
        Stepped(Stage(rank, rank, ranks, ranks, log), microbatches)._step_microbatches()
    finally:
        pp._batch_p2p = original
    return log


def lower(order, ranks, stages, microbatches, **options):
    """A compute order through PyTorch's lowering, by the runtime that would run it."""
    runtime = pp._PipelineScheduleRuntime(
        [Stage(0, 0, ranks, stages)], microbatches, loss_fn=lambda *args: None, **options
    )
    runtime.pipeline_order = order
    runtime._prepare_schedule_with_comms(order)
    return runtime


def old_words(text):
    """As PyTorch wrote before late 2024: B was the input gradient, BW the full backward."""
    text = re.sub(r"(\d+)B(\d+)", r"\1BW\2", text)
    return re.sub(r"(\d+)I(\d+)", r"\1B\2", text)


def write_rows(path, rows):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows(rows)


def write_multi(folder, name, schedule_class, ranks, chunks, microbatches):
    def build(**options):
        stages = [Stage(c * ranks, 0, ranks, ranks * chunks) for c in range(chunks)]
        return schedule_class(stages, microbatches, loss_fn=lambda *args: None, **options)

    stem = f"{name}_{ranks}x{chunks}x{microbatches}"
    compute, comms = folder / f"{stem}.csv", folder / f"{stem}_comms.csv"
    schedule = build()
    schedule._dump_csv(compute, format="compute_only")
    schedule._dump_csv(comms, format="compute_comms")
    if (name, ranks, chunks, microbatches) in DEFERRED:
        build(defer_pp_recv=True)._dump_csv(folder / f"{stem}_comms_deferred.csv")
    if (name, ranks, chunks, microbatches) in OLD:
        for path in compute, comms:
            old = path.with_name(path.stem + "_old.csv")
            old.write_bytes(old_words(path.read_bytes().decode()).encode())


def write_single(folder, name, schedule_class, ranks, microbatches):
    stem = f"{name}_{ranks}x1x{microbatches}"
    logs = [step_through(schedule_class, r, ranks, microbatches) for r in range(ranks)]
    write_rows(folder / f"{stem}_stepped.csv", logs)
    rows = [[text for text in log if re.fullmatch(r"\d+[FB]\d+", text)] for log in logs]
    write_rows(folder / f"{stem}.csv", rows)
    order = {r: [pp._Action.from_str(text) for text in row] for r, row in enumerate(rows)}
    lower(order, ranks, ranks, microbatches)._dump_csv(folder / f"{stem}_comms.csv")
    # What the class says of itself; Schedule1F1B's is wrong on the last rank.
    attribute = schedule_class(Stage(0, 0, ranks, ranks), microbatches).pipeline_order
    write_rows(folder / f"{stem}_attribute.csv", attribute.values())


def main():
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    for name, (schedule_class, sizes) in MULTI.items():
        for size in sizes:
            write_multi(folder, name, schedule_class, *size)
    for name, (schedule_class, sizes) in SINGLE.items():
        for size in sizes:
            try:
                write_single(folder, name, schedule_class, *size)
            except ValueError as error:
                print(f"{name} {size}: {error}")


if __name__ == "__main__":
    main()
