#include "traces/category.h"

#include <stddef.h>

const char *const pw_memory_names[PW_MEMORY_N + 1] = {
  [PW_MEMORY_PARAMETERS] = "parameters",
  [PW_MEMORY_GRADIENTS] = "gradients",
  [PW_MEMORY_OPTIMIZER] = "optimizer",
  [PW_MEMORY_VERSIONS] = "versions",
  [PW_MEMORY_STASH] = "stash",
  [PW_MEMORY_BOUNDARY] = "boundary",
  [PW_MEMORY_COMMUNICATION] = "communication",
  [PW_MEMORY_WORKSPACE] = "workspace",
  [PW_MEMORY_N] = NULL,
};

const char *const pw_idle_names[PW_IDLE_N + 1] = {
  [PW_IDLE_DEPENDENCY] = "dependency", [PW_IDLE_TRANSFER] = "transfer",
  [PW_IDLE_QUEUE_HEAD] = "queue_head", [PW_IDLE_MEMORY] = "memory",
  [PW_IDLE_BARRIER] = "barrier",       [PW_IDLE_N] = NULL,
};
