/* What the messages of each channel take at once: resources by number, so that what is shared by
 * several channels is one thing. */
#pragma once
#include "sim/layout_private.h"

typedef struct {
  double latency, limit; /* alone: bytes per unit of time; 0: infinite */
  PwLinkSharing sharing; /* of its resources; OWN: none is shared */
  int n, resources[PW_PATH_RESOURCES_MAX];
} PwSimPath;

typedef struct {
  PwResource *resources; /* [n_resources] capacity: the largest that a path of it has */
  int n_resources;
  PwSimPath *paths; /* [n_channels] */
} PwSimPaths;

/* All that there is; of a channel within one rank nothing. */
PwSimPaths *pw__sim_paths_new (const PwSimLayout *layout, const PwStageCosts *costs);
/* Leaves only what is shared: none that are everybody's own, and none that see one channel alone
 * whose queue lets its messages through one by one. */
void pw__sim_paths_keep_shared (PwSimPaths *paths, const PwSimLayout *layout);
void pw__sim_paths_free (PwSimPaths *paths);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PwSimPaths, pw__sim_paths_free)

/* Some message may meet another one on its way. */
gboolean pw__sim_paths_are_shared (const PwSimLayout *layout, const PwStageCosts *costs);
