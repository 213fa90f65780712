/* Faults in the order of streams: one buffer, filled on one stream, changed on another, read on a
 * third, several times over. */
#include <string.h>

#include "tests/device/planted/kernels.h"
#include "tests/device/planted/planted.h"

enum { count = 4096, rounds = 8, delay_us = 300 };

typedef struct {
  cudaStream_t in, compute, out;
  cudaEvent_t full, done, empty;
  float *buffer, *from, *to;
} Pipeline;

static void
pipeline_init (Pipeline *p) {
  cudaStream_t *streams[] = { &p->in, &p->compute, &p->out };
  cudaEvent_t *events[] = { &p->full, &p->done, &p->empty };
  for (int i = 0; i < 3; i++) {
    CHECK (cudaStreamCreateWithFlags (streams[i], cudaStreamNonBlocking));
    CHECK (cudaEventCreateWithFlags (events[i], cudaEventDisableTiming));
  }
  CHECK (cudaMalloc ((void **)&p->buffer, count * sizeof (float)));
  CHECK (cudaMallocHost ((void **)&p->from, rounds * count * sizeof (float)));
  CHECK (cudaMallocHost ((void **)&p->to, rounds * count * sizeof (float)));
  for (int i = 0; i < rounds * count; i++)
    p->from[i] = (float)i;
}

static void
pipeline_clear (Pipeline *p) {
  CHECK (cudaStreamDestroy (p->in));
  CHECK (cudaStreamDestroy (p->compute));
  CHECK (cudaStreamDestroy (p->out));
  CHECK (cudaEventDestroy (p->full));
  CHECK (cudaEventDestroy (p->done));
  CHECK (cudaEventDestroy (p->empty));
  CHECK (cudaFreeHost (p->from));
  CHECK (cudaFreeHost (p->to));
}

static void
pipeline_round (Pipeline *p, int round, const char *fault) {
  if (strcmp (fault, "reuse-before-read"))
    CHECK (cudaStreamWaitEvent (p->in, p->empty, 0));
  CHECK (cudaMemcpyAsync (p->buffer, p->from + round * count, count * sizeof (float),
                          cudaMemcpyHostToDevice, p->in));
  CHECK (cudaEventRecord (p->full, p->in));
  if (strcmp (fault, "no-wait-before-compute"))
    CHECK (cudaStreamWaitEvent (p->compute, p->full, 0));
  CHECK (planted_scale (p->buffer, count, 2.f, p->compute));
  CHECK (cudaEventRecord (p->done, p->compute));
  if (strcmp (fault, "no-wait-before-copy"))
    CHECK (cudaStreamWaitEvent (p->out, p->done, 0));
  CHECK (cudaMemcpyAsync (p->to + round * count, p->buffer, count * sizeof (float),
                          cudaMemcpyDeviceToHost, p->out));
  CHECK (cudaEventRecord (p->empty, p->out));
}

static int
run_pipeline (const char *name) {
  pw_fake_set_delay_us (delay_us);
  Pipeline p;
  pipeline_init (&p);
  for (int round = 0; round < rounds; round++)
    pipeline_round (&p, round, name);
  const int free_early = !strcmp (name, "free-on-another-stream");
  if (free_early)
    CHECK (cudaFreeAsync (p.buffer, p.in));
  if (strcmp (name, "no-synchronize"))
    CHECK (cudaStreamSynchronize (p.out));
  int wrong = 0;
  for (int i = 0; i < rounds * count; i++)
    wrong += p.to[i] != 2.f * (float)i;
  CHECK (cudaDeviceSynchronize ());
  if (!free_early)
    CHECK (cudaFree (p.buffer));
  pipeline_clear (&p);
  return wrong;
}

const PlantedCase planted_stream_cases[] = {
  { "pipeline", run_pipeline },
  { "no-wait-before-compute", run_pipeline },
  { "no-wait-before-copy", run_pipeline },
  { "reuse-before-read", run_pipeline },
  { "free-on-another-stream", run_pipeline },
  { "no-synchronize", run_pipeline },
  { NULL, NULL },
};
