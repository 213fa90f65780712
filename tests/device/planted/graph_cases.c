/* Faults in what is captured: a graph of two streams that is launched several times, its host data
 * changed in between and a time taken of each launch. */
#include <string.h>

#include "tests/device/planted/kernels.h"
#include "tests/device/planted/planted.h"

enum { count = 4096, launches = 4, delay_us = 300 };

typedef struct {
  cudaStream_t main, side;
  cudaEvent_t fork, join, begin, end;
  float *buffer, *host;
} Fork;

static void
fork_init (Fork *f) {
  CHECK (cudaStreamCreateWithFlags (&f->main, cudaStreamNonBlocking));
  CHECK (cudaStreamCreateWithFlags (&f->side, cudaStreamNonBlocking));
  CHECK (cudaEventCreateWithFlags (&f->fork, cudaEventDisableTiming));
  CHECK (cudaEventCreateWithFlags (&f->join, cudaEventDisableTiming));
  CHECK (cudaEventCreate (&f->begin));
  CHECK (cudaEventCreate (&f->end));
  CHECK (cudaMalloc ((void **)&f->buffer, count * sizeof (float)));
  CHECK (cudaMallocHost ((void **)&f->host, count * sizeof (float)));
}

static void
fork_clear (Fork *f) {
  CHECK (cudaStreamDestroy (f->main));
  CHECK (cudaStreamDestroy (f->side));
  CHECK (cudaEventDestroy (f->fork));
  CHECK (cudaEventDestroy (f->join));
  CHECK (cudaEventDestroy (f->begin));
  CHECK (cudaEventDestroy (f->end));
  CHECK (cudaFree (f->buffer));
  CHECK (cudaFreeHost (f->host));
}

static cudaGraphExec_t
capture (Fork *f, const char *fault) {
  const unsigned flags = strcmp (fault, "graph-time-not-external") ? cudaEventRecordExternal
                                                                   : cudaEventRecordDefault;
  cudaGraph_t graph;
  cudaGraphExec_t exec;
  CHECK (cudaStreamBeginCapture (f->main, cudaStreamCaptureModeThreadLocal));
  CHECK (cudaEventRecordWithFlags (f->begin, f->main, flags));
  CHECK (cudaMemcpyAsync (f->buffer, f->host, count * sizeof (float), cudaMemcpyHostToDevice,
                          f->main));
  CHECK (cudaEventRecord (f->fork, f->main));
  CHECK (cudaStreamWaitEvent (f->side, f->fork, 0));
  if (!strcmp (fault, "graph-waits-too-early")) {
    CHECK (cudaEventRecord (f->join, f->side));
    CHECK (cudaStreamWaitEvent (f->main, f->join, 0));
  }
  CHECK (planted_scale (f->buffer, count, 2.f, f->side));
  CHECK (cudaEventRecord (f->join, f->side));
  if (!strcmp (fault, "graph-waits-too-early"))
    CHECK (planted_scale (f->buffer, count, 2.f, f->main));
  if (strcmp (fault, "graph-not-joined"))
    CHECK (cudaStreamWaitEvent (f->main, f->join, 0));
  CHECK (cudaMemcpyAsync (f->host, f->buffer, count * sizeof (float), cudaMemcpyDeviceToHost,
                          f->main));
  CHECK (cudaEventRecordWithFlags (f->end, f->main, flags));
  CHECK (cudaStreamEndCapture (f->main, &graph));
  CHECK (cudaGraphInstantiate (&exec, graph, 0));
  CHECK (cudaGraphDestroy (graph));
  return exec;
}

static int
run_fork (const char *name) {
  pw_fake_set_delay_us (delay_us);
  Fork f;
  fork_init (&f);
  cudaGraphExec_t exec = capture (&f, name);
  int wrong = 0;
  for (int l = 1; l <= launches; l++) {
    for (int i = 0; i < count; i++)
      f.host[i] = (float)(l * i);
    CHECK (cudaGraphLaunch (exec, f.main));
    CHECK (cudaStreamSynchronize (f.main));
    float ms;
    CHECK (cudaEventElapsedTime (&ms, f.begin, f.end));
    for (int i = 0; i < count; i++)
      wrong += f.host[i] != 2.f * (float)(l * i);
    wrong += !(ms > 0);
  }
  CHECK (cudaGraphExecDestroy (exec));
  fork_clear (&f);
  return wrong;
}

const PlantedCase planted_graph_cases[] = {
  { "graph", run_fork },
  { "graph-not-joined", run_fork },
  { "graph-time-not-external", run_fork },
  { "graph-waits-too-early", run_fork },
  { NULL, NULL },
};
