/* Messages over random channels, in one order that all ranks keep, carried by the NCCL transport on
 * the fakes: a thread per rank, which fills what it sends and looks at what it gets on a compute
 * stream, with nothing but the transport's promises to keep them apart. */
#pragma once
#include "exec/bootstrap.h"
#include "exec/channels_private.h"
#include "exec/exec.h"
#include "kernels/cuda/cuda_private.h"
#include "tests/device/fake/fake.h"

extern const PwTransport pw_transport_nccl;
/* No more than the transport asks for. */
extern const PwBackend nccl_backend;

typedef struct {
  PwChannel channel;
  int sender, receiver;
  gsize bytes;
  guint32 seed;
  int group; /* messages of one group are batched by each rank that has several of them */
} NcclMessage;

typedef struct {
  PwStageEdges *edges;
  PwPlacement *placement;
  PwPolicy policy;
  double timeout_s;
  GArray *messages; /* NcclMessage */
  guint32 seed;
  int processes;  /* as if: each has a transport of its own, and they meet over TCP */
  int fault_rank; /* -1: none; else its device takes no more part */
  PwFakeNcclFault fault;
} NcclCase;

typedef struct {
  GError *error; /* of the rank; NULL: all has arrived */
} NcclOutcome;

NcclCase *nccl_case_new (PwStageEdges *edges, PwPlacement *placement, PwPolicy policy);
/* N messages of random size over random channels. */
void nccl_case_fill (NcclCase *nccl, int n);
/* Runs it, OUTCOMES[ranks]; afterwards nothing is left on the devices. */
void nccl_case_run (NcclCase *nccl, NcclOutcome *outcomes);
/* Everything arrives. */
void nccl_case_check (NcclCase *nccl);
void nccl_case_free (NcclCase *nccl);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (NcclCase, nccl_case_free)
