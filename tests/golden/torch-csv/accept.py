"""Holds what `pipewright schedule export --format torch-csv` writes against PyTorch, by hand:

    python accept.py PIPEWRIGHT

Every schedule in several sizes, both levels, goes through PyTorch's _load_csv (which validates) and
its simulator of compute and communication; a compute file is lowered by PyTorch on the way, and
both of its own lowerings must keep the orders that were read. Needs PyTorch, see make.py.
"""

import csv
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from torch.distributed.pipelining import schedules as pp

from make import Stage

SIZES = [(2, 4), (4, 8), (4, 9), (3, 7), (6, 24)]
MORE = {"hanayo": [["--waves", "2"]], "seq1f1b": [["--pieces", "2"]], "interleaved-1f1b": [["--chunks", "3"]]}


def read(path):
    with open(path, newline="") as file:
        return [[pp._Action.from_str(s) for s in row] for row in csv.reader(file)]


def parts(row):
    return [part for action in row if action for part in action.sub_actions or (action,)]


def load(path, level):
    rows = read(path)
    stages = 1 + max(part.stage_index for row in rows for part in parts(row))
    microbatches = 1 + max(part.microbatch_index or 0 for row in rows for part in parts(row))
    runtime = pp._PipelineScheduleRuntime(
        [Stage(0, 0, len(rows), stages)], microbatches, loss_fn=lambda *args: None
    )
    runtime._load_csv(path, format=level)
    kept = {
        rank: [a for a in row if a.computation_type not in EXTRA]
        for rank, row in runtime.pipeline_order_with_comms.items()
    }
    # A pair counts as its parts; reductions and parameter traffic are not simulated.
    flat = {rank: parts(row) for rank, row in kept.items()}
    pp._simulate_comms_compute(flat, lambda s: runtime.stage_index_to_group_rank[s], stages)
    if level == "compute_only":
        computes = [[a for a in kept[r] if a.is_compute_op] for r in sorted(kept)]
        assert computes == [[a for a in row if a] for row in rows], "the order changed"


EXTRA = {
    pp._ComputationType.UNSHARD,
    pp._ComputationType.RESHARD,
    pp._ComputationType.REDUCE_GRAD,
    pp._ComputationType.WAIT_REDUCE_GRAD,
}


def export(program, path, arguments):
    command = [program, "schedule", "export", *arguments, "--format", "torch-csv", "-o", str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    return None if done.returncode == 0 else done.stderr.strip()


def main():
    program = sys.argv[1]
    listed = subprocess.run([program, "schedule", "list", "--json"], capture_output=True, text=True)
    names = [row["name"] for row in next(iter(json.loads(listed.stdout).values()))]
    verdicts = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            for ranks, microbatches in SIZES:
                for more in [[]] + MORE.get(name, []):
                    for level in "compute_only", "compute_comms":
                        size = ["--ranks", str(ranks), "--microbatches", str(microbatches), *more]
                        lowered = ["--lowered"] if level == "compute_comms" else []
                        path = Path(folder) / "x.csv"
                        refusal = export(program, path, [name, *size, *lowered])
                        if refusal:
                            verdict = "not exported: " + refusal
                        else:
                            try:
                                load(path, level)
                                verdict = "accepted"
                            except Exception as error:
                                verdict = f"refused: {type(error).__name__}: {str(error)[:120]}"
                        verdicts.setdefault((name, level, verdict), []).append(f"{ranks}x{microbatches}")
    for (name, level, verdict), sizes in verdicts.items():
        print(f"{name:17} {level:14} {' '.join(sizes):40} {verdict}")
    if any("refused" in verdict for _, _, verdict in verdicts):
        sys.exit(1)


if __name__ == "__main__":
    main()
