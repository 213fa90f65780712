#include "sim/link_private.h"

/* FLOW stays at RATE. */
static void
settle (PwLinkFlow *flow, PwLinkResource *resources, double rate) {
  flow->rate = rate;
  for (int i = 0; i < flow->n; i++) {
    resources[flow->resources[i]].left -= rate;
    resources[flow->resources[i]].open--;
  }
}

static gboolean
takes (const PwLinkFlow *flow, int resource) {
  for (int i = 0; i < flow->n; i++)
    if (flow->resources[i] == resource)
      return TRUE;
  return FALSE;
}

/* The resource that is full first; -1: none is taken. *SHARE: the rate of its flows then. */
static int
fullest (const PwLinkResource *resources, int n, double *share) {
  int first = -1;
  *share = 0;
  for (int r = 0; r < n; r++) {
    if (resources[r].open == 0)
      continue;
    double of_each = resources[r].left / resources[r].open;
    if (first < 0 || of_each < *share) {
      first = r;
      *share = of_each;
    }
  }
  return first;
}

void
pw__link_share (PwLinkFlow *flows, int n, PwLinkResource *resources, int n_resources) {
  for (int r = 0; r < n_resources; r++) {
    resources[r].left = resources[r].capacity;
    resources[r].open = 0;
  }
  for (int i = 0; i < n; i++) {
    flows[i].rate = -1;
    for (int k = 0; k < flows[i].n; k++)
      resources[flows[i].resources[k]].open++;
  }
  for (int open = n; open > 0;) {
    double share;
    int full = fullest (resources, n_resources, &share), before = open;
    for (int i = 0; i < n; i++)
      if (flows[i].rate < 0 && (full < 0 || flows[i].limit <= share)) {
        settle (&flows[i], resources, flows[i].limit);
        open--;
      }
    if (open < before)
      continue;
    for (int i = 0; i < n; i++)
      if (flows[i].rate < 0 && takes (&flows[i], full)) {
        settle (&flows[i], resources, share);
        open--;
      }
  }
}
