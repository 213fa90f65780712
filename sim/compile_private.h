/* Compile, evaluate once, read the result; takes LAYOUT over. */
#pragma once
#include "sim/layout_private.h"

PwSimResult *pw__sim_run_compiled (const PwSimInput *input, PwSimLayout *layout, GError **error);
