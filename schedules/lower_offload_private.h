/* Copies of stashes to the host and back, put into lists that are lowered. */
#pragma once
#include "schedules/lower.h"

void pw__lower_add_offloads (PwSchedule *lowered, const PwLowerOptions *options);
