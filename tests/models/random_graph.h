/* Random small models: chains of layers with skips over any distance. */
#pragma once
#include "models/graph.h"

/* 1 to LAYERS_MAX layers plus ends; with and without embedding and loss. Every output is read. */
PwGraph *random_graph_new (int layers_max);
/* A random cut of N layers into 1 to STAGES_MAX stages; *STAGES + 1 bounds. */
int *random_bounds_new (int n, int stages_max, int *stages);
