#pragma once
#include "exec/profile.h"

/* Between two ranks on two cores or devices, by messages of 8 bytes up to LARGEST_BYTES. */
gboolean pw__profile_link (const PwBackend *backend, const PwTransport *transport,
                           gsize largest_bytes, PwLink *link, PwMessageRates *messages,
                           GError **error);
/* For whoever reads the file. */
char *pw__profile_machine_name (const PwBackend *backend, int ranks);

/* Receives are filled from a pattern and done at once, sends too. */
extern const PwTransport pw__transport_loopback;
/* PATTERN is as long as the largest message. */
void pw__loopback_set_pattern (PwTransportState *state, const void *pattern);
