/* The best order of a small problem, found slowly and by nothing that could be wrong without being
 * seen: what the search for orders is measured with. P * chunks <= 6 stages, M <= 7 micro-batches.
 *
 * Actions are appended one at a time, each at its earliest start. What may come after depends only
 * on how often each stage has run F, I and W (its micro-batches are taken in ascending order, and a
 * rank's memory follows from its counts), and when it may start on the ranks' clocks and on the
 * messages that are under way. So for each vector of counts those vectors of times are kept that
 * none other precedes in every component: whatever can follow the later one can follow the
 * earlier one and ends no later. */
#pragma once
#include "sim/planner/search.h"

/* INFINITY: no order is within the memory. */
double exhaustive_optimum (const PwSearchInput *input);
/* The optimum if it is below VALUE, else INFINITY; quicker the nearer VALUE is to the optimum, as
 * what cannot end below VALUE is dropped: the rest of a rank's work, or a micro-batch's way through
 * the stages that are left, would take too long. */
double exhaustive_beats (const PwSearchInput *input, double value);
/* Every word over F, I, W for every rank, every combination of words: for problems of a few
 * micro-batches, to check the above by. */
double exhaustive_enumerate (const PwSearchInput *input);
