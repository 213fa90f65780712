#include "plots/plot.h"

G_DEFINE_QUARK (pw - plot - error - quark, pw_plot_error)
