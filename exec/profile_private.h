#pragma once
#include "exec/profile.h"

/* Latency and bandwidth between two ranks on two cores, by messages that go to and fro. */
gboolean pw__profile_link (const PwBackend *backend, const PwTransport *transport, PwLink *link,
                           GError **error);

/* Receives are filled from a pattern and done at once, sends too. */
extern const PwTransport pw__transport_loopback;
/* PATTERN is as long as the largest message. */
void pw__loopback_set_pattern (PwTransportState *state, const void *pattern);
