/* NCCL between processes of one machine: a communicator is a file in shared memory, named by its
 * id. A message goes through a slot for each two ranks, in pieces:
 *
 *   sender     waits for IDLE, posts its count ── piece ── piece ──      waits for TAKEN, IDLE
 *   receiver   waits for POSTED, compares      ──────── piece ── piece   TAKEN
 *
 * so a send ends when its receive has taken the data, and launches keep their order. Who is alive
 * holds a lock on its byte of the file, which the system takes back when its process ends. */
#pragma once
#include "tests/device/fake/nccl_private.h"

struct Shared;

/* Whether communicators may have members in other processes: CUDA_ON_CPU_PROCESSES. */
bool shared_is_wanted ();
/* NULL: no such file can be made. */
std::shared_ptr<Shared> shared_open (const char *id, int n);
/* False: the rank has come already. */
bool shared_join (Shared *shared, int rank, int device);
void shared_leave (Shared *shared, int rank);
int shared_joined (const Shared *shared);
int shared_device (const Shared *shared, int rank);
/* Once all have joined. */
bool shared_is_foreign (const Shared *shared);
/* What RANK is told: its own error, or that another process has gone without a word. */
ncclResult_t shared_error (Shared *shared, int rank);
void shared_tell_others (Shared *shared, int rank, ncclResult_t error);
void shared_ring (Shared *shared);
/* All of a launch's transfers, until IS_ABORTED says so. */
void shared_transfer (Shared *shared, const Launch *launch, bool takes_part,
                      bool (*is_aborted) (const Launch *));
