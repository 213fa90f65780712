/* How flows that are on their way at the same time share what they take. Arrays in, arrays out; no
 * events.
 *
 * Max-min fairness: the rates of all flows grow together until a resource is full or a flow has
 * reached its own limit; those it concerns stay there, the others grow on. Capacity 9, limits 1, 5,
 * 8: the first stays at 1, so the others get 4 each:
 *
 *   limit  1 5 8        rate  1 4 4
 */
#pragma once
#include "plans/topology.h"

typedef struct {
  double limit; /* bytes per unit of time, positive */
  double rate;
  int n, resources[PW_PATH_RESOURCES_MAX]; /* none: its limit alone counts */
} PwLinkFlow;
typedef struct {
  double capacity;
  /* Of the call: */
  double left;
  int open;
} PwLinkResource;

/* Sets the rates of FLOWS[n], which take numbers of RESOURCES[n_resources]. */
void pw__link_share (PwLinkFlow *flows, int n, PwLinkResource *resources, int n_resources);
