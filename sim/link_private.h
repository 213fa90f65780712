/* How transfers that are on a link at the same time share it. Arrays in, arrays out; no events.
 *
 * Max-min fairness: every flow gets the same rate, except that none exceeds its own limit, and what
 * a limited flow leaves over is shared by the others. Capacity 9, limits 1, 5, 8: first a share of
 * 3 each, the first needs 1 only, so the others get 4 each:
 *
 *   limit  1 5 8        rate  1 4 4
 */
#pragma once

/* LIMIT[n] and RATE[n] in bytes per unit of time, all positive. */
void pw__link_share (int n, const double *limit, double capacity, double *rate);
