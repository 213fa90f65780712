#pragma once
#include "exec/profile.h"

/* Latency and bandwidth between two ranks on two cores, by messages that go to and fro. */
gboolean pw__profile_link (const PwTransport *transport, PwLink *link, GError **error);
