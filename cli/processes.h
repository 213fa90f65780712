/* A command in several processes, as RANK and WORLD_SIZE, SLURM or mpirun have started them: all do
 * the same, the first prints and writes. */
#pragma once
#include "exec/bootstrap.h"
#include "exec/exec.h"

typedef struct {
  PwBootstrap *bootstrap; /* NULL: there is one process */
  gboolean is_first;      /* prints and writes */
  char *summary;          /* "4 processes over TCP (port 29500 of node0), on 2 hosts" */
} PwProcessGroup;

/* Waits for the others, TIMEOUT_S at most (0: for ever), which also bounds what they exchange
 * later.
 */
gboolean pw_process_group_open (PwProcessGroup *group, double timeout_s, GError **error);
void pw_process_group_clear (PwProcessGroup *group);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (PwProcessGroup, pw_process_group_clear)
/* Refuses several processes, for COMMAND that measures this one: WHY is a sentence's end. */
gboolean pw_process_group_refuse (const char *command, const char *why, GError **error);
