/* Transfers that share what they take, and computes that pay for them, played from event to event:
 * at each of them everything is worked out from nothing, by the definitions (docs/links.md). */
#pragma once
#include "reference.h"

/* NULL: somebody waits for ever. */
Reference *shared_reference_run (const Case *c);
/* The most that a message of any channel may take of RESOURCE. */
double shared_reference_capacity (const Case *c, const PwResource *resource);
