/* What the bootstraps share. */
#pragma once
#include "exec/bootstrap.h"

/* local_rank and local_size, by the hosts' names. */
gboolean pw__bootstrap_find_neighbours (PwBootstrap *bootstrap, GError **error);
