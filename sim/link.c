#include "sim/link_private.h"

#include <glib.h>

void
pw__link_share (int n, const double *limit, double capacity, double *rate) {
  int open = n;
  for (int i = 0; i < n; i++)
    rate[i] = -1;
  /* Each round settles those that cannot use an equal share; without any, the rest share alike. */
  for (gboolean settled = TRUE; open > 0 && settled;) {
    double share = capacity / open;
    settled = FALSE;
    for (int i = 0; i < n; i++)
      if (rate[i] < 0 && limit[i] <= share) {
        rate[i] = limit[i];
        capacity -= limit[i];
        open--;
        settled = TRUE;
      }
  }
  for (int i = 0; i < n; i++)
    if (rate[i] < 0)
      rate[i] = capacity / open;
}
