/* The event queue: needed where time decides who goes first on a link, able to do everything. */
#pragma once
#include "sim/layout_private.h"

PwSimResult *pw__sim_run_events (const PwSimInput *input, const PwSimLayout *layout,
                                 GError **error);
